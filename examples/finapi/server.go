package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// A server is an emulator, or finAPI behind a recording proxy on loopback.
type server struct {
	*emulator.Emulator
	name              string
	options           finapi.Options
	clientID          string
	secret            func() string // a function, so that formatting does not show it
	user              string
	password          func() string
	checkNoLiveTokens func() error // returns nil if that is unknown
}

// serverFor returns the server that the environment names, or else an emulator.
func serverFor(getenv func(string) string) (*server, error) {
	base, id, secret := getenv("FINAPI_BASE_URL"), getenv("FINAPI_CLIENT_ID"), getenv("FINAPI_CLIENT_SECRET")
	version := finapi.V1
	switch v := getenv("FINAPI_VERSION"); v {
	case "", "1":
	case "2":
		version = finapi.V2
	default:
		return nil, fmt.Errorf("FINAPI_VERSION is %q; want 1 or 2", v)
	}
	switch {
	case id == "" && secret == "" && base == "":
		return emulated(finapitest.New(finapitest.Behavior{Version: version})), nil
	case id == "" || secret == "":
		return nil, errors.New("set both FINAPI_CLIENT_ID and FINAPI_CLIENT_SECRET; FINAPI_BASE_URL requires them")
	case base == "":
		base = finapi.SandboxURL
	}
	to, err := url.Parse(base)
	if err != nil || to.Scheme != "https" && to.Scheme != "http" || to.Host == "" || to.User != nil {
		return nil, errors.New("FINAPI_BASE_URL is not an http or https URL")
	}
	return remote(to, version, id, secret), nil
}

func remote(to *url.URL, version finapi.Version, id, secret string) *server {
	recorder := emulator.New(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Del("Accept-Encoding") // so that answers are not compressed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	})
	password := rand.Text()
	return &server{
		Emulator: recorder, name: to.Host,
		options:  finapi.Options{BaseURL: recorder.URL, Version: version, AcceptLanguage: "en"},
		clientID: id, secret: func() string { return secret },
		user: "tokencache-" + strings.ToLower(rand.Text()), password: func() string { return password },
		checkNoLiveTokens: func() error { return nil },
	}
}

func emulated(api *finapitest.Emulator) *server {
	password := rand.Text()
	options := api.Options()
	options.AcceptLanguage = "en"
	return &server{
		Emulator: api.Emulator, name: "an emulator at " + api.URL, options: options,
		clientID: "client-id", secret: func() string { return "client-secret" },
		user: "username", password: func() string { return password },
		checkNoLiveTokens: func() error {
			if n := len(api.Live()); n > 0 {
				return fmt.Errorf("%d tokens are still valid after Shutdown", n)
			}
			return nil
		},
	}
}
