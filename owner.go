package tokencache

import "unique"

// An owner is what the tokens of many keys have in common. All of them share one, which matters where there are a
// million: see [unique].
type owner struct {
	grant  string
	kept   bool   // they belong to somebody else: Shutdown leaves them alone
	client string // the key, where they are the client's own: those are revoked last
}

func (s *source) owner() unique.Handle[owner] {
	o := owner{grant: s.name}
	switch s.grant.(type) {
	case RefreshTokenGrant, foreignGrant:
		o.kept = true
	}
	if s.name == "client_credentials" {
		o.client = s.key()
	}
	return unique.Make(o)
}
