package peers

import (
	"context"
	"net/http"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

var oauth2Peer = peer.Peer{
	Name:      "x/oauth2",
	Module:    "golang.org/x/oauth2",
	NoContext: true,
	Tokens:    func(s peer.Setup) peer.TokenFunc { return accessToken(oauth2Source(s)) },
	Transport: func(s peer.Setup) http.RoundTripper {
		return &oauth2.Transport{Source: oauth2Source(s), Base: s.Base}
	},
}

func oauth2Source(s peer.Setup) oauth2.TokenSource {
	var src oauth2.TokenSource = fetchSource(s.Fetch)
	if e := s.Endpoint; e != nil {
		cfg := clientcredentials.Config{
			TokenURL: e.TokenURL, ClientID: e.ClientID, ClientSecret: e.ClientSecret, AuthStyle: oauth2.AuthStyleInHeader,
		}
		src = cfg.TokenSource(context.Background())
	}
	return oauth2.ReuseTokenSourceWithExpiry(nil, src, s.Margin)
}

// fetchSource is a token source that calls a peer.Fetch every time.
type fetchSource peer.Fetch

func (fetch fetchSource) Token() (*oauth2.Token, error) {
	tok, err := fetch(context.Background())
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: tok.Value, Expiry: tok.Expiry}, nil
}

func accessToken(src oauth2.TokenSource) peer.TokenFunc {
	return func(context.Context) (string, error) {
		tok, err := src.Token()
		if err != nil {
			return "", err
		}
		return tok.AccessToken, nil
	}
}
