package peers

import (
	"context"
	"net/http"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

var googlePeer = peer.Peer{
	Name:   "cloud auth",
	Module: "cloud.google.com/go/auth",
	Tokens: func(s peer.Setup) peer.TokenFunc {
		provider := googleProvider(s)
		return func(ctx context.Context) (string, error) {
			tok, err := provider.Token(ctx)
			if err != nil {
				return "", err
			}
			return tok.Value, nil
		}
	},
	Transport: func(s peer.Setup) http.RoundTripper {
		client := &http.Client{Transport: s.Base}
		creds := auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: googleProvider(s)})
		if err := httptransport.AddAuthorizationMiddleware(client, creds); err != nil {
			panic(err)
		}
		return client.Transport
	},
}

func googleProvider(s peer.Setup) auth.TokenProvider {
	fetch := s.Fetch
	return auth.NewCachedTokenProvider(providerFunc(func(ctx context.Context) (*auth.Token, error) {
		tok, err := fetch(ctx)
		if err != nil {
			return nil, err
		}
		return &auth.Token{Value: tok.Value, Expiry: tok.Expiry}, nil
	}), &auth.CachedTokenProviderOptions{ExpireEarly: s.Window})
}

type providerFunc func(context.Context) (*auth.Token, error)

func (f providerFunc) Token(ctx context.Context) (*auth.Token, error) { return f(ctx) }
