package entry_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
)

const lifetime = time.Hour

// A rack is a shelf with one key, whose tokens are numbered.
type rack struct {
	*testing.T
	*entry.Shelf
	clock   clock.Clock
	owner   entry.Owner
	current *entry.Entry
	made    int
}

// onRack runs a test in a bubble, with a shelf from which tokens are revoked.
func onRack(t *testing.T, test func(r *rack)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(&rack{T: t, Shelf: entry.NewShelf(true)}) })
}

// newEntry makes an entry of the next token. A lifetime of 0 is that of a token that never expires.
func (r *rack) newEntry(refresh string, lifetime time.Duration) *entry.Entry {
	r.Helper()
	r.made++
	now := r.clock.Now()
	tok := &oauth2.Token{AccessToken: fmt.Sprint("access ", r.made), RefreshToken: refresh}
	if lifetime > 0 {
		tok.Expiry = now.Wall.Add(lifetime)
	}
	e, err := entry.New(tok, r.owner, now, now, nil, entry.Terms{})
	if err != nil {
		r.Fatal(err)
	}
	return e
}

// publish publishes e in place of the current entry, and returns the refresh tokens to be revoked.
func (r *rack) publish(e *entry.Entry) (unused []entry.Slot, tokens []string) {
	unused, _ = r.Publish("key", e, r.current, r.clock.Now())
	r.current = e
	for _, slot := range unused {
		tokens = append(tokens, slot.RefreshToken())
	}
	return unused, tokens
}

// renew publishes a token with the given refresh token, and ends what is to be revoked.
func (r *rack) renew(refresh string) (ended []string) {
	r.Helper()
	unused, ended := r.publish(r.newEntry(refresh, lifetime))
	for _, slot := range unused {
		slot.Clear()
	}
	return ended
}

// superseded returns the refresh tokens that are remembered beside the current one.
func (r *rack) superseded() (tokens []string) {
	for slot := range r.Superseded("key") {
		tokens = append(tokens, slot.RefreshToken())
	}
	slices.Sort(tokens)
	return tokens
}

func TestUnusedRefreshTokensAreEndedTwoAtATime(t *testing.T) {
	onRack(t, func(r *rack) {
		for i := range 10 { // in quick succession: none has expired
			if ended := r.renew(fmt.Sprint("refresh ", i)); ended != nil {
				r.Errorf("%q are to be revoked, and their access tokens live", ended)
			}
		}
		time.Sleep(lifetime)
		// The one that is replaced is left for the next time.
		for i := 10; i < 18; i++ {
			ended := r.renew(fmt.Sprint("refresh ", i))
			if len(ended) > 2 || i < 14 && len(ended) != 2 {
				r.Errorf("renewal %d: %q are to be revoked, want two", i, ended)
			}
			time.Sleep(lifetime)
		}
		if got := r.superseded(); !slices.Equal(got, []string{"refresh 16"}) {
			r.Errorf("%q are remembered, want the one that was just replaced", got)
		}
	})
}

// A token that keeps the refresh token of the one before is forgotten when it expires, and hides nothing.
func TestUnusedRefreshTokensAreFoundBehindOthers(t *testing.T) {
	onRack(t, func(r *rack) {
		r.renew("unused")
		var ended []string
		for range 8 {
			ended = append(ended, r.renew("kept")...)
			time.Sleep(lifetime / 10 * 3)
		}
		if !slices.Equal(ended, []string{"unused"}) {
			r.Errorf("%q were to be revoked, want the unused one", ended)
		}
	})
}
