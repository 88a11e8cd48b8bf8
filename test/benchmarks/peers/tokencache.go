package peers

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

var tokencachePeer = peer.Peer{
	Name:   "tokencache",
	Module: "github.com/tokencache/tokencache",
	Tokens: func(s peer.Setup) peer.TokenFunc { return tokenFunc(tokencacheSource(s)) },
	Transport: func(s peer.Setup) http.RoundTripper {
		return &tokencache.Transport{Source: tokencacheSource(s), Base: s.Base}
	},
	Users: func(s peer.Setup, fetchOf func(string) peer.Fetch) func(context.Context, string) (string, error) {
		cache := newCache(s)
		return func(ctx context.Context, user string) (string, error) {
			return tokenFunc(cache.Source(fetchGrant{user, fetchOf(user)}))(ctx)
		}
	},
}

func newCache(s peer.Setup) *tokencache.Cache {
	cfg := tokencache.Config{
		TokenURL: "http://localhost/token", ClientID: "client", Auth: tokencache.NoClientAuth(), RenewalWindow: s.Window,
	}
	if e := s.Endpoint; e != nil {
		cfg.TokenURL, cfg.ClientID, cfg.Auth = e.TokenURL, e.ClientID, tokencache.ClientSecretBasic(e.ClientSecret)
	}
	return must(tokencache.New(cfg))
}

func tokencacheSource(s peer.Setup) *tokencache.Source {
	if s.Endpoint != nil {
		return newCache(s).ClientCredentials()
	}
	return newCache(s).Source(fetchGrant{"client", s.Fetch})
}

func tokenFunc(src *tokencache.Source) peer.TokenFunc {
	return func(ctx context.Context) (string, error) {
		tok, err := src.TokenContext(ctx)
		if err != nil {
			return "", err
		}
		return tok.AccessToken, nil
	}
}

// fetchGrant is a grant that calls a peer.Fetch on behalf of one user.
type fetchGrant struct {
	user  string
	fetch peer.Fetch
}

func (g fetchGrant) Describe(d *tokencache.GrantInfo) { d.Name, d.Subject = "fetch", g.user }

func (g fetchGrant) Obtain(ctx context.Context, _ *tokencache.GrantRequest) (*oauth2.Token, error) {
	tok, err := g.fetch(ctx)
	return &oauth2.Token{AccessToken: tok.Value, Expiry: tok.Expiry}, err
}
