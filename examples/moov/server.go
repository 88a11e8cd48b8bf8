package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/moov"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
)

// A server is an emulator, or Moov behind a recording proxy on loopback.
type server struct {
	*emulator.Emulator
	name              string
	options           moov.Options
	clientID          string
	secret            func() string // a function, so that formatting does not show it
	checkNoLiveTokens func() error  // returns nil if that is unknown
}

// serverFor returns the server that the environment names, or else an emulator.
func serverFor(getenv func(string) string) (*server, error) {
	id, secret := getenv("MOOV_CLIENT_ID"), getenv("MOOV_CLIENT_SECRET")
	switch {
	case id == "" && secret == "":
		return emulated(moovtest.New(moovtest.Behavior{})), nil
	case id == "" || secret == "":
		return nil, errors.New("set both MOOV_CLIENT_ID and MOOV_CLIENT_SECRET, or neither")
	}
	base := getenv("MOOV_BASE_URL")
	if base == "" {
		base = "https://api.moov.io"
	}
	to, err := url.Parse(base)
	if err != nil || to.Scheme != "https" && to.Scheme != "http" || to.Host == "" || to.User != nil {
		return nil, errors.New("MOOV_BASE_URL is not an http or https URL")
	}
	recorder := emulator.New(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Del("Accept-Encoding") // so that answers are not compressed
		},
		ModifyResponse: func(resp *http.Response) error {
			if !strings.Contains(resp.Request.URL.Path, "/oauth2/") {
				resp.Body.Close()
				resp.Body = http.NoBody // account data does not belong in the transcript
				resp.Header.Del("Content-Length")
			}
			return nil
		},
	})
	return &server{
		Emulator: recorder, name: to.Host, clientID: id, secret: func() string { return secret },
		options:           moov.Options{BaseURL: recorder.URL, Origin: getenv("MOOV_ORIGIN"), Version: getenv("MOOV_VERSION")},
		checkNoLiveTokens: func() error { return nil },
	}, nil
}

func emulated(api *moovtest.Emulator) *server {
	return &server{
		Emulator: api.Emulator, name: "an emulator at " + api.URL,
		clientID: moovtest.ClientID, secret: func() string { return moovtest.ClientSecret },
		options: moov.Options{BaseURL: api.URL, Origin: moovtest.Origin, Version: "v2025.10.00"},
		checkNoLiveTokens: func() error {
			if n := len(api.Live()); n > 0 {
				return fmt.Errorf("%d tokens are still valid after Shutdown", n)
			}
			return nil
		},
	}
}

// accounts returns a function that lists the accounts with the tokens of src.
func (s *server) accounts(src *tokencache.Source) func(context.Context) error {
	client := &http.Client{Transport: &tokencache.Transport{Source: src, Base: s.Client().Transport}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/accounts", nil)
		if err != nil {
			return err
		}
		if s.options.Version != "" {
			req.Header.Set("X-Moov-Version", s.options.Version)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
}
