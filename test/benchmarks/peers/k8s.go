package peers

import (
	"net/http"

	"github.com/go-logr/logr"
	"k8s.io/client-go/transport"
	"k8s.io/klog/v2"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

var k8sPeer = peer.Peer{
	Name:      "client-go",
	Module:    "k8s.io/client-go",
	NoContext: true,
	Tokens: func(s peer.Setup) peer.TokenFunc {
		return accessToken(transport.NewCachedTokenSource(fetchSource(s.Fetch)))
	},
	Transport: func(s peer.Setup) http.RoundTripper {
		src := transport.NewCachedTokenSource(fetchSource(s.Fetch))
		return transport.ResettableTokenSourceWrapTransport(src)(s.Base)
	},
}

// Without this, client-go logs every failed renewal.
func init() { klog.SetLogger(logr.Discard()) }
