package tokencache

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/spent"
)

// A keyedGrant is a grant with its description and its key.
type keyedGrant struct {
	Grant
	info  GrantInfo
	id    [16]byte
	known atomic.Bool // the saved token is in the cache, or is spent
}

// allInputs are used again because services with many users make a source for each request.
var allInputs = sync.Pool{New: func() any {
	in := &inputs{}
	in.self = func() *inputs { return in }
	return in
}}

// set makes k the given grant.
func (k *keyedGrant) set(g Grant, salt *fingerprint.Salt) {
	k.Grant = copyOf(g)
	own := allInputs.Get().(*inputs)
	k.info.inputs = own.self
	k.Describe(&k.info)
	in := own
	if k.info.inputs != nil {
		in = k.info.inputs() // of another description, if the grant has copied one
	}
	k.info.inputs = nil // a grant that keeps its description has no further say
	k.id = k.info.sum(in, salt)
	own.key.Clear()
	allInputs.Put(own)
}

// sum returns the key: the inputs, and after them the three strings that every grant has.
func (d *GrantInfo) sum(in *inputs, salt *fingerprint.Salt) [16]byte {
	in.key.Add(d.Name)
	in.key.Add(d.Subject)
	in.key.Add(sortedScopes(d.Scopes))
	return in.key.Sum(salt)
}

// copyOf returns a built-in grant that later changes of the caller's slices, maps and structs do not
// reach, and any other as it is: one that embeds a built-in grant too.
func copyOf(g Grant) Grant {
	switch p := g.(type) {
	case *ClientCredentialsGrant:
		return p.clone()
	case *PasswordGrant:
		return p.clone()
	case *RefreshTokenGrant:
		return p.clone()
	case ClientCredentialsGrant:
		return p.clone()
	case PasswordGrant:
		return p.clone()
	case RefreshTokenGrant:
		return p.clone()
	}
	return g
}

// sortedScopes returns the scopes in an order that does not depend on how they were given.
func sortedScopes(scopes []string) string {
	switch len(scopes) {
	case 0:
		return ""
	case 1:
		if !strings.Contains(scopes[0], " ") {
			return scopes[0]
		}
	}
	sorted := strings.FieldsFunc(strings.Join(scopes, " "), func(r rune) bool { return r == ' ' })
	slices.Sort(sorted)
	return strings.Join(sorted, " ")
}

// key is what the tables know the grant by. It is a string only where one is needed, and mostly on the
// stack.
func (k *keyedGrant) key() string { return string(k.id[:]) }

// owner returns what the grant's tokens have in common with those of other grants.
func (k *keyedGrant) owner() entry.Owner {
	o := entry.Owner{Grant: k.info.Name, Kept: k.info.KeepOnShutdown}
	if k.info.Name == "client_credentials" {
		o.Client = k.key()
	}
	return o
}

// attempt returns an attempt at a fetch that replaces prev, which may be nil.
func (k *keyedGrant) attempt(prev *entry.Entry) *attempt {
	return &attempt{
		key: k.key(), grant: k.info.Name, subject: k.info.Subject, foreign: k.info.foreign, asksPassword: k.info.asksPassword,
		replaced: prev, isSession: k.info.saved != nil,
	}
}

// savedToken returns the token that a session begins with; nil for every other grant.
func (k *keyedGrant) savedToken() *oauth2.Token {
	if k.info.saved == nil {
		return nil
	}
	return k.info.saved()
}

// session returns what refresh tokens are remembered by: the session's name, whatever scopes it is
// asked for with, and the key for every other grant.
func (k *keyedGrant) session(m *spent.Memory) spent.ID {
	if k.info.saved == nil || k.info.Subject == "" {
		return k.id
	}
	return m.ID(k.info.Subject)
}

// A flightError is the error of a flight, which callers can have joined who asked for something else.
type flightError struct {
	error
	concerns func(g *keyedGrant, isNewLogin bool) bool // whether it is that of a caller with grant g
}

func (e *flightError) Unwrap() error { return e.error }

// ownError returns the error of a flight to the caller that has started it.
func ownError(err error) error {
	if of, ok := err.(*flightError); ok {
		return of.error
	}
	return err
}
