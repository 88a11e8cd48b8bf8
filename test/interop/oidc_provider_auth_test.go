package interop_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
)

func TestOIDCProviderWrongSecretReturnsErrInvalidClient(t *testing.T) {
	p := newOIDCProvider(t, time.Hour)
	cache := p.cache(func(cfg *tokencache.Config) { cfg.Auth = tokencache.ClientSecretBasic("wrong") })
	concurrently(callers, func(int) {
		if _, err := cache.ClientCredentials(scope).Token(); !errors.Is(err, tokencache.ErrInvalidClient) {
			t.Errorf("got %v, want ErrInvalidClient", err)
		}
	})
	_, err := cache.Password(user, password).Token()
	if !errors.Is(err, tokencache.ErrInvalidClient) || !errors.Is(err, tokencache.ErrHeldOff) {
		t.Errorf("another grant: got %v, want ErrInvalidClient and ErrHeldOff", err)
	}
	p.want("client_credentials", 1)
	p.want("password", 0)
}

func TestOIDCProviderWrongPasswordReturnsErrInvalidGrant(t *testing.T) {
	p := newOIDCProvider(t, time.Hour)
	cache := p.cache(nil)
	concurrently(callers, func(int) {
		if _, err := cache.Password(user, "wrong").Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
			t.Errorf("got %v, want ErrInvalidGrant", err)
		}
	})
	p.want("password", 1)
	p.post(cache.Password(user, password).Client())
	p.want("password", 2)
}

// The server form-decodes the ID and the secret (RFC 6749 section 2.3.1). A secret that was sent
// without encoding either decodes to a different one (invalid_client) or cannot be decoded
// (invalid_request). The server also refuses a secret that is not printable ASCII
// (invalid_request).
func TestOIDCProviderDecodesBasicCredentials(t *testing.T) {
	special := registration{"a client: 50%", "p+w %41&=/?#\":~"}
	plus, percent := registration{"plus", "pass+word"}, registration{"percent", "100%"}
	hex, plain := registration{"hex", "a%41"}, registration{"plain", "p w:/?#\"~"}
	p := newOIDCProvider(t, time.Hour, special, plus, percent, hex, plain)

	run := func(name string, client registration, auth func(string) tokencache.ClientAuth, code string) {
		t.Run(name, func(t *testing.T) {
			before := p.counts().Requests["client_credentials"]
			cache := p.cache(func(cfg *tokencache.Config) { cfg.ClientID, cfg.Auth = client.ID, auth(client.Secret) })
			tok, err := cache.ClientCredentials(scope).Token()
			var failed *tokencache.Error
			switch {
			case code == "" && err != nil:
				t.Errorf("got %v, want a token", err)
			case code == "":
				p.wantActive("the token", tok, true)
			case !errors.As(err, &failed) || failed.Code != code || !failed.Permanent:
				t.Errorf("got %v, want a permanent %s", err, code)
			case errors.Is(err, tokencache.ErrInvalidClient) != (code == "invalid_client"):
				t.Errorf("got %v: it must wrap ErrInvalidClient only if the code is invalid_client", err)
			}
			p.want("client_credentials", before+1)
		})
	}
	encoded, raw := tokencache.ClientSecretBasic, tokencache.ClientSecretBasicRaw
	const accepted, invalidClient, invalidRequest = "", "invalid_client", "invalid_request"

	for _, client := range []registration{special, plus, percent, hex, plain} {
		run("encoded, "+client.ID, client, encoded, accepted)
		run("post, "+client.ID, client, tokencache.ClientSecretPost, accepted)
	}
	run("raw, nothing to encode", plain, raw, accepted)
	run("raw, a plus becomes a space", plus, raw, invalidClient)
	run("raw, an escape is decoded", hex, raw, invalidClient)
	run("raw, a percent sign cannot be decoded", percent, raw, invalidRequest)
	run("raw, the ID is cut at its colon", special, raw, invalidRequest)
	run("encoded, wrong", registration{special.ID, special.Secret + "!"}, encoded, invalidClient)
	run("encoded, not ASCII", registration{plain.ID, "pässword"}, encoded, invalidRequest)
	run("encoded, a control character", registration{plain.ID, "pass\tword"}, encoded, invalidRequest)
	run("unknown client", registration{"nobody", "secret"}, encoded, invalidClient)
}
