package peers

import (
	"context"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

var azcorePeer = peer.Peer{
	Name:     "azcore",
	Module:   "github.com/Azure/azure-sdk-for-go/sdk/azcore",
	Note:     "the token cache is internal to BearerTokenPolicy, so getting a token takes a request through the policy",
	Indirect: true,
	Tokens: func(s peer.Setup) peer.TokenFunc {
		s.Base = echoToken{}
		client := azcoreClient(s)
		return func(ctx context.Context) (string, error) {
			req := must(http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/", nil))
			resp, err := client.Do(req)
			if err != nil {
				return "", err
			}
			return resp.Header.Get("Token"), nil
		}
	},
	Client: azcoreClient,
}

func azcoreClient(s peer.Setup) peer.Doer {
	bearer := runtime.NewBearerTokenPolicy(credential{s}, nil, &policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: true})
	pipeline := runtime.NewPipeline("", "", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}}, &policy.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
		Transport: &http.Client{Transport: s.Base},
	})
	return doerFunc(func(req *http.Request) (*http.Response, error) {
		r, err := runtime.NewRequestFromRequest(req.Clone(req.Context()))
		if err != nil {
			return nil, err
		}
		runtime.SkipBodyDownload(r)
		return pipeline.Do(r)
	})
}

type credential struct{ peer.Setup }

func (c credential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	tok, err := c.Fetch(ctx)
	out := azcore.AccessToken{Token: tok.Value, ExpiresOn: tok.Expiry}
	if !tok.Expiry.IsZero() {
		out.RefreshOn = tok.Expiry.Add(-c.Window)
	}
	return out, err
}

// echoToken returns a response whose Token header is the request's token.
type echoToken struct{}

func (echoToken) RoundTrip(req *http.Request) (*http.Response, error) {
	const scheme = len("Bearer ")
	return &http.Response{
		StatusCode: http.StatusOK, Request: req, Body: io.NopCloser(http.NoBody),
		Header: http.Header{"Token": {req.Header.Get("Authorization")[scheme:]}},
	}, nil
}

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(req *http.Request) (*http.Response, error) { return f(req) }
