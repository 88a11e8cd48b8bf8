package peers

import (
	"context"

	"github.com/aws/smithy-go/auth/bearer"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

var smithyPeer = peer.Peer{
	Name:   "smithy-go",
	Module: "github.com/aws/smithy-go",
	Note:   "has a token cache but no client",
	Tokens: func(s peer.Setup) peer.TokenFunc {
		fetch := s.Fetch
		provider := bearer.TokenProviderFunc(func(ctx context.Context) (bearer.Token, error) {
			tok, err := fetch(ctx)
			return bearer.Token{Value: tok.Value, CanExpire: !tok.Expiry.IsZero(), Expires: tok.Expiry}, err
		})
		cache := bearer.NewTokenCache(provider, func(o *bearer.TokenCacheOptions) { o.RefreshBeforeExpires = s.Window })
		return func(ctx context.Context) (string, error) {
			tok, err := cache.RetrieveBearerToken(ctx)
			return tok.Value, err
		}
	},
}
