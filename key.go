package tokencache

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/spent"
)

// A keyedGrant is a grant with its key and its description.
type keyedGrant struct {
	Grant
	traits
	id            [16]byte
	name, subject string
	keep          bool        // Shutdown leaves its tokens alone
	known         atomic.Bool // the saved token is in the cache, or is spent
}

// A description is a GrantInfo with the key that its inputs go into.
type description struct {
	info   GrantInfo
	key    fingerprint.Key
	inputs uint64
}

// descriptions are used again because services with many users make a source for each request.
var descriptions = sync.Pool{New: func() any {
	d := &description{}
	d.info.input = func(name, value string) {
		d.key.Add(name)
		d.key.Add(value)
		d.inputs++
	}
	return d
}}

// set makes k the given grant.
func (k *keyedGrant) set(g Grant, salt *fingerprint.Salt) {
	if own, ok := g.(interface{ clone() Grant }); ok {
		g = own.clone() // later changes of the caller's slices and maps do not reach it
	}
	d := descriptions.Get().(*description)
	d.key.Reset(salt)
	g.Describe(&d.info)
	k.Grant, k.traits = g, d.info.traits
	k.name, k.subject, k.keep = d.info.Name, d.info.Subject, d.info.KeepOnShutdown
	k.id = d.sum()
	d.clear(salt)
	descriptions.Put(d)
}

// sum returns the key: the inputs, and after them what every grant has.
func (d *description) sum() [16]byte {
	d.key.Add(d.info.Name)
	d.key.Add(d.info.Subject)
	d.key.Add(sortedScopes(d.info.Scopes))
	d.key.Add(strconv.FormatUint(d.inputs, 10)) // last, so that no input is taken for one of these
	return d.key.Sum()
}

// clear leaves nothing of a grant behind, a password least of all.
func (d *description) clear(salt *fingerprint.Salt) {
	d.key.Reset(salt)
	d.info, d.inputs = GrantInfo{input: d.info.input}, 0
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
	o := entry.Owner{Grant: k.name, Kept: k.keep}
	if k.name == "client_credentials" {
		o.Client = k.key()
	}
	return o
}

// attempt returns an attempt at a fetch that replaces prev, which may be nil.
func (k *keyedGrant) attempt(prev *entry.Entry, session *spent.Session) *attempt {
	return &attempt{
		key: k.key(), grant: k.name, subject: k.subject, foreign: k.foreign, asksPassword: k.asksPassword,
		replaced: prev, session: session,
	}
}

// savedToken returns the token that a session begins with; nil for every other grant.
func (k *keyedGrant) savedToken() *oauth2.Token {
	if k.saved == nil {
		return nil
	}
	return k.saved()
}

// session returns the memory of a session, nil for every other grant: only sessions bring saved tokens
// from outside.
func (k *keyedGrant) session(m *spent.Memory) *spent.Session {
	if k.saved == nil {
		return nil
	}
	return m.Of(k.key())
}
