package tokencache

import "github.com/tokencache/tokencache/internal/entry"

func (s *source) owner() entry.Owner {
	o := entry.Owner{Grant: s.name}
	switch s.grant.(type) {
	case RefreshTokenGrant, foreignGrant:
		o.Kept = true
	}
	if s.name == "client_credentials" {
		o.Client = s.key()
	}
	return o
}
