package peers

import (
	"context"
	"net/http"

	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

var orasPeer = peer.Peer{
	Name:   "oras-go",
	Module: "oras.land/oras-go/v2",
	Note:   "ignores expiry: keeps a token until an API rejects it",
	Tokens: func(s peer.Setup) peer.TokenFunc {
		cache := auth.NewCache()
		return func(ctx context.Context) (string, error) {
			if tok, err := cache.GetToken(ctx, "api", auth.SchemeBearer, ""); err == nil {
				return tok, nil
			}
			return cache.Set(ctx, "api", auth.SchemeBearer, "", func(ctx context.Context) (string, error) {
				tok, err := s.Fetch(ctx)
				return tok.Value, err
			})
		}
	},
	Client: func(s peer.Setup) peer.Doer {
		return &auth.Client{
			Client: &http.Client{Transport: s.Base},
			Cache:  auth.NewCache(),
			Credential: func(ctx context.Context, _ string) (auth.Credential, error) {
				tok, err := s.Fetch(ctx)
				return auth.Credential{AccessToken: tok.Value}, err
			},
		}
	},
}
