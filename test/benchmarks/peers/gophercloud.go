package peers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

var gophercloudPeer = peer.Peer{
	Name:   "gophercloud",
	Module: "github.com/gophercloud/gophercloud/v2",
	Note:   "renews only on a 401; its X-Auth-Token header is replaced by Authorization",
	Client: func(s peer.Setup) peer.Doer {
		client := &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: xAuthToken{s.Base}}}
		client.UseTokenLock()
		client.ReauthFunc = func(ctx context.Context) error {
			tok, err := s.Fetch(ctx)
			if err == nil {
				client.SetToken(tok.Value)
			}
			return err
		}
		return doerFunc(func(req *http.Request) (*http.Response, error) { return gophercloudDo(client, req) })
	},
}

func gophercloudDo(client *gophercloud.ProviderClient, req *http.Request) (*http.Response, error) {
	opts := gophercloud.RequestOpts{KeepResponseBody: true, OkCodes: []int{http.StatusOK}, MoreHeaders: map[string]string{}}
	for name := range req.Header {
		opts.MoreHeaders[name] = req.Header.Get(name)
	}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		opts.RawBody = bytes.NewReader(body)
	}
	resp, err := client.Request(req.Context(), req.Method, req.URL.String(), &opts)
	var replay *gophercloud.ErrErrorAfterReauthentication
	if errors.As(err, &replay) {
		err = replay.ErrOriginal
	}
	var unexpected gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &unexpected) {
		return &http.Response{
			StatusCode: unexpected.Actual, Header: unexpected.ResponseHeader, Request: req,
			Body: io.NopCloser(bytes.NewReader(unexpected.Body)),
		}, nil
	}
	return resp, err
}

// xAuthToken moves the token from X-Auth-Token to Authorization, where the API expects it.
type xAuthToken struct{ base http.RoundTripper }

func (t xAuthToken) RoundTrip(req *http.Request) (*http.Response, error) {
	if token := req.Header.Get("X-Auth-Token"); token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Del("X-Auth-Token")
	}
	return t.base.RoundTrip(req)
}
