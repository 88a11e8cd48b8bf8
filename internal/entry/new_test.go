package entry_test

import (
	"math"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
)

// asked is when the tokens of these tests were asked for, arrived when they came.
var (
	asked   = clock.Instant{Mono: -int64(time.Hour), Wall: time.Date(2031, 5, 6, 7, 8, 9, 10, time.UTC)}
	arrived = after(asked, 3*time.Second)
)

// after is an instant d later on both clocks.
func after(at clock.Instant, d time.Duration) clock.Instant {
	return clock.Instant{Mono: at.Mono + int64(d), Wall: at.Wall.Add(d)}
}

// lasting returns a token that expires d after it was asked for.
func lasting(d time.Duration) *oauth2.Token {
	return &oauth2.Token{AccessToken: "access", Expiry: asked.Wall.Add(d)}
}

func mustNew(t *testing.T, tok *oauth2.Token, prev *entry.Entry, terms entry.Terms) *entry.Entry {
	t.Helper()
	e, err := entry.New(tok, entry.Owner{}, asked, arrived, prev, terms)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A user costs at most 350 bytes beyond the text of the token: the Entry, its key, and its place in a
// table. 224 is a size class of the allocator, so that one more word costs two.
func TestEntryIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(entry.Entry{}); got > 224 {
		t.Errorf("%d bytes, want at most 224", got)
	}
}

// Nor is the text of a token held twice.
func TestEntryHoldsItsTokenOnce(t *testing.T) {
	e := mustNew(t, lasting(time.Hour), nil, entry.Terms{})
	header := unsafe.StringData(e.Header()[len("Bearer "):])
	if unsafe.StringData(e.Token().AccessToken) != header || unsafe.StringData(e.AccessToken()) != header {
		t.Error("the access token is not a part of the header")
	}
}

func TestTokenThatCannotBeSentIsAnError(t *testing.T) {
	for _, row := range []struct {
		name string
		tok  *oauth2.Token
		want string // in the error, empty for none
	}{
		{"none", nil, "no token"},
		{"empty", &oauth2.Token{RefreshToken: "secret"}, "no token"},
		{"plain", &oauth2.Token{AccessToken: "secret"}, ""},
		{"Bearer", &oauth2.Token{AccessToken: "secret", TokenType: "Bearer"}, ""},
		{"bearer in another case", &oauth2.Token{AccessToken: "secret", TokenType: "bEARER"}, ""},
		{"another type", &oauth2.Token{AccessToken: "secret", TokenType: "DPoP"}, `"DPoP"`},
		{"a long type", &oauth2.Token{AccessToken: "secret", TokenType: strings.Repeat("x", 1000)}, `"` + strings.Repeat("x", 40) + `"`},
		{"a line break", &oauth2.Token{AccessToken: "secret\r\nX: y"}, "at byte 6"},
		{"a zero", &oauth2.Token{AccessToken: "\x00secret"}, "at byte 0"},
		{"the last control character", &oauth2.Token{AccessToken: "secret\x1f"}, "at byte 6"},
		{"DEL", &oauth2.Token{AccessToken: "secret\x7f"}, "at byte 6"},
		{"a space before", &oauth2.Token{AccessToken: " secret"}, "space"},
		{"a space behind", &oauth2.Token{AccessToken: "secret "}, "space"},
		{"a space inside", &oauth2.Token{AccessToken: "sec ret"}, ""},
		{"not ASCII", &oauth2.Token{AccessToken: "sécret"}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := entry.New(row.tok, entry.Owner{}, asked, arrived, nil, entry.Terms{})
			if checked := entry.Check(row.tok); !reflect.DeepEqual(checked, err) {
				t.Errorf("Check says %v, New says %v", checked, err)
			}
			switch {
			case row.want == "" && err != nil:
				t.Errorf("got %v", err)
			case row.want == "":
			case err == nil || !strings.HasPrefix(err.Error(), "tokencache: ") || !strings.Contains(err.Error(), row.want):
				t.Errorf("got %v, want an error with %s", err, row.want)
			case strings.Contains(err.Error(), "secret"):
				t.Errorf("%v shows the token", err)
			}
		})
	}
}

func TestTokenThatExpiredBeforeItWasAskedForIsAnError(t *testing.T) {
	for d, ok := range map[time.Duration]bool{-time.Hour: false, -1: false, 0: false, 1: true} {
		if _, err := entry.New(lasting(d), entry.Owner{}, asked, arrived, nil, entry.Terms{}); (err == nil) != ok {
			t.Errorf("a token of %v: %v", d, err)
		}
	}
}

func TestLifetimeOfAnEntry(t *testing.T) {
	const never = clock.Never
	for _, row := range []struct {
		name   string
		tok    *oauth2.Token
		maxAge time.Duration
		want   time.Duration // from when it was asked for
	}{
		{"the answer says", lasting(time.Hour), 0, time.Hour},
		{"the answer says, and MaxAge is shorter", lasting(time.Hour), time.Minute, time.Hour},
		{"the answer does not say", &oauth2.Token{AccessToken: "a"}, 0, never},
		{"MaxAge", &oauth2.Token{AccessToken: "a"}, time.Minute, time.Minute},
		{"it never expires", &oauth2.Token{AccessToken: "a", ExpiresIn: entry.Endless}, time.Minute, never},
		{"ExpiresIn without Expiry", &oauth2.Token{AccessToken: "a", ExpiresIn: 60}, time.Hour, time.Hour},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := mustNew(t, row.tok, nil, entry.Terms{MaxAge: row.maxAge})
			if row.want == never {
				if e.Remaining(arrived) != never || e.RemainingAtServer(arrived) != never || !e.Token().Expiry.IsZero() {
					t.Errorf("it expires in %v, at the server in %v, at %v; want never", e.Remaining(arrived), e.RemainingAtServer(arrived), e.Token().Expiry)
				}
				return
			}
			if got := e.Remaining(asked); got != row.want {
				t.Errorf("it expires in %v, want %v", got, row.want)
			}
			if got := e.Remaining(after(asked, row.want+time.Second)); got != -time.Second {
				t.Errorf("a second after its end %v remain, want -1s", got)
			}
			if got, want := e.RemainingAtServer(asked), row.want+3*time.Second; got != want {
				t.Errorf("it ends at the server in %v, want %v: it counts from its answer", got, want)
			}
			if got := e.Token().Expiry; !got.Equal(asked.Wall.Add(row.want)) {
				t.Errorf("the token expires at %v, want %v", got, asked.Wall.Add(row.want))
			}
		})
	}
}

// The expiry is a time on the wall clock as it was when the token was asked for.
func TestLifetimeDoesNotDependOnAWallClockThatIsSetMeanwhile(t *testing.T) {
	for _, set := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		now := clock.Instant{Mono: arrived.Mono, Wall: arrived.Wall.Add(set)}
		e, err := entry.New(lasting(time.Hour), entry.Owner{}, asked, now, nil, entry.Terms{})
		if err != nil || e.Remaining(asked) != time.Hour {
			t.Errorf("the clock is set by %v: it expires in %v (%v), want an hour", set, e.Remaining(asked), err)
		}
	}
}

// Times further away than a Duration reaches do not turn into the past.
func TestLifetimeBeyondTheClock(t *testing.T) {
	for _, mono := range []int64{-int64(time.Hour), 0, int64(time.Hour)} {
		start := clock.Instant{Mono: mono, Wall: asked.Wall}
		for name, tok := range map[string]*oauth2.Token{
			"year 9999": {AccessToken: "a", Expiry: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
			"292 years": {AccessToken: "a", Expiry: start.Wall.Add(math.MaxInt64)},
			"MaxAge":    {AccessToken: "a"},
		} {
			e, err := entry.New(tok, entry.Owner{}, start, after(start, time.Second), nil, entry.Terms{MaxAge: math.MaxInt64, RenewalWindow: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			later := after(start, 100*365*24*time.Hour)
			if e.Age(later) != entry.Fresh || e.Remaining(later) < 0 || e.RemainingAtServer(later) < 0 {
				t.Errorf("%s, from %v: after a century %v remain", name, time.Duration(mono), e.Remaining(later))
			}
			if e.Serve(later, entry.Fresh); !e.Hit() { // its hits pass until long after now
				t.Errorf("%s, from %v: no hit after a century", name, time.Duration(mono))
			}
		}
	}
}

func TestRenewalWindow(t *testing.T) {
	for _, row := range []struct {
		name           string
		lifetime, most time.Duration
		want           time.Duration // without jitter
	}{
		{"as configured", time.Hour, time.Minute, time.Minute},
		{"a fifth of the lifetime", time.Hour, time.Hour, 12 * time.Minute},
		{"at the bound", 50 * time.Minute, 10 * time.Minute, 10 * time.Minute},
		{"none", time.Hour, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			var least, most time.Duration = math.MaxInt64, 0
			for range 200 {
				w := staleFor(mustNew(t, lasting(row.lifetime), nil, entry.Terms{RenewalWindow: row.most}))
				least, most = min(least, w), max(most, w)
			}
			if least < row.want*9/10-1 || most > row.want*11/10 {
				t.Errorf("windows of %v to %v, want %v with 10 %% of jitter", least, most, row.want)
			}
			if most-least < row.want/10 {
				t.Errorf("windows of %v to %v are not spread", least, most)
			}
		})
	}
}

// staleFor returns how long an entry is stale before it expires.
func staleFor(e *entry.Entry) time.Duration {
	fresh, stale := time.Duration(-1), e.Remaining(asked) // it is fresh at the first, and not at the second
	for stale-fresh > 1 {
		middle := fresh + (stale-fresh)/2
		if e.Age(after(asked, middle)) == entry.Fresh {
			fresh = middle
		} else {
			stale = middle
		}
	}
	return e.Remaining(asked) - stale
}

// A server may hand out one token again and again, and count down or not.
func TestTokenThatIsHandedOutAgain(t *testing.T) {
	const never = 0
	for _, row := range []struct {
		name        string
		first, next time.Duration // when they expire, from asked
		want        time.Duration
	}{
		{"the same end", time.Hour, time.Hour, time.Hour},
		{"rounded up", time.Hour, time.Hour + time.Second, time.Hour},
		{"prolonged", time.Hour, time.Hour + time.Second + 1, time.Hour + time.Second + 1},
		{"earlier", time.Hour, time.Minute, time.Hour},
		{"now it has an end", never, time.Hour, time.Hour},
		{"now it has none", time.Hour, never, time.Hour},
		{"it never had one", never, never, never},
	} {
		t.Run(row.name, func(t *testing.T) {
			tok := func(d time.Duration) *oauth2.Token {
				if d == never {
					return &oauth2.Token{AccessToken: "access"}
				}
				return lasting(d)
			}
			prev := mustNew(t, tok(row.first), nil, entry.Terms{})
			e := mustNew(t, tok(row.next), prev, entry.Terms{RenewalWindow: 10 * time.Minute})
			if row.want == never {
				if e.Remaining(asked) != clock.Never || !e.Token().Expiry.IsZero() || e.Age(after(asked, 1000*time.Hour)) != entry.Fresh {
					t.Errorf("it expires in %v, at %v, want never", e.Remaining(asked), e.Token().Expiry)
				}
				return
			}
			if got := e.Remaining(asked); got != row.want || !e.Token().Expiry.Equal(asked.Wall.Add(row.want)) {
				t.Errorf("it expires in %v, at %v, want %v", got, e.Token().Expiry, row.want)
			}
			if got, want := e.RemainingAtServer(asked), row.want+3*time.Second; got != want {
				t.Errorf("it ends at the server in %v, want %v", got, want)
			}
		})
	}
}

func TestTokenThatIsHandedOutAgainIsAskedForOnceASecond(t *testing.T) {
	again := func(t *testing.T, lifetime time.Duration) *entry.Entry {
		t.Helper()
		return mustNew(t, lasting(lifetime), mustNew(t, lasting(lifetime), nil, entry.Terms{}), entry.Terms{RenewalWindow: time.Hour})
	}
	// Its window is half a minute; of a token of a few seconds it is all but the first second.
	for _, row := range []struct {
		lifetime, least, most time.Duration
	}{
		{150 * time.Second, 27 * time.Second, 33 * time.Second},
		{1100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond},
		{time.Second, 0, 0},
		{time.Millisecond, 0, 0},
	} {
		if got := staleFor(again(t, row.lifetime)); got < row.least || got > row.most {
			t.Errorf("a token of %v is stale for %v, want %v to %v", row.lifetime, got, row.least, row.most)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		now := c.Now()
		newEntry := func(access string, prev *entry.Entry) *entry.Entry {
			e, err := entry.New(&oauth2.Token{AccessToken: access}, entry.Owner{}, now, now, prev, entry.Terms{})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		first := newEntry("access", nil)
		second := newEntry("access", first)
		other := newEntry("other", second)
		time.Sleep(300 * time.Millisecond)
		for what, row := range map[string]struct {
			e    *entry.Entry
			want time.Duration
		}{"none": {nil, 0}, "the first": {first, 0}, "again": {second, 700 * time.Millisecond}, "another": {other, 0}} {
			if got := row.e.Wait(); got != row.want {
				t.Errorf("%s: wait %v, want %v", what, got, row.want)
			}
		}
		time.Sleep(time.Second)
		if got := second.Wait(); got != -300*time.Millisecond {
			t.Errorf("later: wait %v, want nothing", got)
		}
	})
}

func TestShortTokenThatIsHandedOutAgainIsNoHitAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		now := c.Now()
		tok := &oauth2.Token{AccessToken: "access", Expiry: now.Wall.Add(time.Millisecond)}
		var e *entry.Entry
		for range 2 {
			var err error
			if e, err = entry.New(tok, entry.Owner{}, now, now, e, entry.Terms{}); err != nil {
				t.Fatal(err)
			}
		}
		e.Serve(now, entry.Fresh)
		time.Sleep(time.Millisecond - 1)
		if !e.Hit() {
			t.Error("no hit before its end")
		}
		time.Sleep(time.Nanosecond)
		if e.Hit() {
			t.Error("a hit at its end")
		}
	})
}

// A server that rounds up hands out a token that has expired here. It does not live again.
func TestExpiredTokenThatIsHandedOutAgain(t *testing.T) {
	start := after(asked, time.Minute)
	for lifetime, expired := range map[time.Duration]bool{
		time.Minute - time.Second + 9:  false, // it is prolonged
		time.Minute - time.Second + 10: true,
		time.Minute:                    true,
	} {
		prev := mustNew(t, lasting(lifetime), nil, entry.Terms{})
		tok := &oauth2.Token{AccessToken: "access", Expiry: start.Wall.Add(10)}
		e, err := entry.New(tok, entry.Owner{}, start, start, prev, entry.Terms{RenewalWindow: time.Hour})
		if err != nil || (e.Age(start) == entry.Expired) != expired {
			t.Errorf("a token that was to last %v, and now ten nanoseconds more than a minute: %v remain, %v", lifetime, e.Remaining(start), err)
		}
	}
}

func TestHandedOutTokenShowsNoMoreThanItMust(t *testing.T) {
	for _, row := range []struct {
		name  string
		extra any
		want  map[string]any
	}{
		{"no fields", nil, map[string]any{"id_token": nil, "scope": nil, "x": nil}},
		{"fields of this library", map[string]any{"id_token": "i", "x": 1}, map[string]any{"id_token": "i", "x": 1}},
		{
			"fields of another library",
			map[string]any{"refresh_token": "secret", "access_token": "a", "id_token": "i", "scope": "s", "x": 1},
			map[string]any{"refresh_token": nil, "access_token": nil, "id_token": "i", "scope": "s", "x": nil},
		},
		{
			"without the well-known ones",
			map[string]any{"refresh_token": "secret", "scope": ""},
			map[string]any{"refresh_token": nil, "id_token": nil, "scope": nil},
		},
		{"as a form", url.Values{"refresh_token": {"secret"}, "id_token": {"i"}}, map[string]any{"refresh_token": "", "id_token": "i", "scope": nil}},
	} {
		t.Run(row.name, func(t *testing.T) {
			tok := (&oauth2.Token{
				AccessToken: "access", RefreshToken: "secret", TokenType: "bearer", ExpiresIn: 7, Expiry: time.Now().Add(time.Hour),
			}).WithExtra(row.extra)
			before := *tok
			now := clock.Instant{Wall: time.Now()}
			e, err := entry.New(tok, entry.Owner{}, now, now, nil, entry.Terms{})
			if err != nil {
				t.Fatal(err)
			}
			got := e.Token()
			if got.AccessToken != "access" || got.RefreshToken != "" || got.TokenType != "Bearer" || got.ExpiresIn != 7 || got.Expiry != tok.Expiry.Round(0) {
				t.Errorf("got %+v", got)
			}
			for name, want := range row.want {
				if v := got.Extra(name); !reflect.DeepEqual(v, want) && (want != "" || v != nil) {
					t.Errorf("%s: got %v, want %v", name, v, want)
				}
			}
			if !reflect.DeepEqual(*tok, before) {
				t.Errorf("the grant's token is %+v now, was %+v", *tok, before)
			}
			if e.RefreshToken() != "secret" {
				t.Errorf("the entry's refresh token is %q", e.RefreshToken())
			}
		})
	}
}

func TestEntryOfARefreshTokenAlone(t *testing.T) {
	owner := entry.Owner{Grant: "refresh_token", Kept: true}
	for access, header := range map[string]string{"": "", "a": "Bearer a"} {
		e := entry.NewRefresh(&oauth2.Token{AccessToken: access, RefreshToken: "r", Expiry: asked.Wall}, owner)
		if e.Header() != header || e.AccessToken() != access || e.RefreshToken() != "r" || e.Owner() != owner {
			t.Errorf("%q: got %q, %q, %q, %v", access, e.Header(), e.AccessToken(), e.RefreshToken(), e.Owner())
		}
		if !e.Alive() || e.Remaining(arrived) != clock.Never || e.RemainingAtServer(arrived) != clock.Never {
			t.Errorf("%q: alive %t, ends in %v; want an entry that can be revoked at any time", access, e.Alive(), e.RemainingAtServer(arrived))
		}
	}
}
