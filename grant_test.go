package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// What users implement can be combined and decorated: grants, client authentication, errors.

// audited is a grant that another one is decorated with.
type audited struct {
	tokencache.Grant
	obtained *int
}

func (g audited) Obtain(ctx context.Context, r *tokencache.GrantRequest) (*oauth2.Token, error) {
	*g.obtained++
	return g.Grant.Obtain(ctx, r)
}

func TestDecoratedGrantIsTheGrantItDecorates(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true}, nil, func(w *world) {
		obtained := 0
		password := tokencache.PasswordGrant{Username: "alice", Password: tokencache.NewSecret("wonderland")}
		plain, decorated := w.cache.Password("alice", "wonderland"), w.cache.Source(audited{password, &obtained})
		if first := w.token(decorated); w.token(plain) != first {
			w.Error("the decorated grant has a token of its own")
		}
		if obtained != 1 {
			w.Errorf("the decorator was asked %d times, want once", obtained)
		}
	})
}

func TestDecoratedPasswordIsNotSentAThirdTime(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		obtained := 0
		wrong := tokencache.PasswordGrant{Username: "alice", Password: tokencache.NewSecret("wrong")}
		for range 100 {
			_, err := w.cache.Source(audited{wrong, &obtained}).Token()
			if !errors.Is(err, tokencache.ErrInvalidGrant) {
				w.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		if got := w.srv.Count("token"); got != 2 {
			w.Errorf("%d token requests, want 2", got)
		}
		src := w.cache.Source(audited{wrong, &obtained})
		if err := src.Reset(w.Context()); err != nil {
			w.Fatal(err)
		}
		_, _ = src.Token()
		if got := w.srv.Count("token"); got != 3 {
			w.Errorf("%d token requests after Reset, want 3", got)
		}
	})
}

func TestDecoratedSessionIsLeftAloneByShutdown(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true}, nil, func(w *world) {
		obtained := 0
		saved := w.login()
		session := tokencache.RefreshTokenGrant{Session: "s", Token: tokencache.NewSecret(saved.RefreshToken)}
		w.token(w.cache.Source(audited{session, &obtained}))
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Fatal(err)
		}
		if n := w.srv.Count("revoke"); n != 0 {
			w.Errorf("%d revocations, want none", n)
		}
	})
}

// describing is a grant that only says what it is.
type describing func(*tokencache.GrantInfo)

func (g describing) Describe(d *tokencache.GrantInfo) { g(d) }

func (g describing) Obtain(context.Context, *tokencache.GrantRequest) (*oauth2.Token, error) {
	var d tokencache.GrantInfo
	g(&d)
	return hourToken(fmt.Sprintf("token of %s%q", d.Subject, d.Scopes)), nil
}

func TestGrantsThatDifferDoNotShareAToken(t *testing.T) {
	input := func(names ...string) func(*tokencache.GrantInfo) {
		return func(d *tokencache.GrantInfo) {
			for i := 0; i < len(names); i += 2 {
				d.Input(names[i], names[i+1])
			}
		}
	}
	grants := map[string]func(*tokencache.GrantInfo){
		"nothing":            func(*tokencache.GrantInfo) {},
		"a name":             func(d *tokencache.GrantInfo) { d.Name = "x" },
		"another name":       func(d *tokencache.GrantInfo) { d.Name = "y" },
		"a subject":          func(d *tokencache.GrantInfo) { d.Subject = "alice" },
		"another subject":    func(d *tokencache.GrantInfo) { d.Subject = "bob" },
		"a scope":            func(d *tokencache.GrantInfo) { d.Scopes = []string{"read"} },
		"another scope":      func(d *tokencache.GrantInfo) { d.Scopes = []string{"write"} },
		"two scopes":         func(d *tokencache.GrantInfo) { d.Scopes = []string{"read", "write"} },
		"an input":           input("a", "b"),
		"another value":      input("a", "c"),
		"an empty input":     input("", ""),
		"two inputs":         input("a", "b", "a", "b"),
		"the border moved":   input("ab", ""),
		"like a description": input("", "", "", "0"),
	}
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		owner := make(map[*oauth2.Token]string)
		for name, describe := range grants {
			tok, err := w.cache.Source(describing(describe)).Token()
			if err != nil {
				w.Fatal(err)
			}
			if other, ok := owner[tok]; ok {
				w.Errorf("%q and %q share a token", name, other)
			}
			owner[tok] = name
		}
	})
}

func TestOrderOfScopesMakesNoDifference(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		first := w.token(w.cache.ClientCredentials("a", "b"))
		for _, scopes := range [][]string{{"b", "a"}, {"b a"}, {"a b"}, {"a", "", "b "}} {
			if w.token(w.cache.ClientCredentials(scopes...)) != first {
				w.Errorf("%q has a token of its own", scopes)
			}
		}
	})
}

func TestErrorOfAGrantMatchesTheSentinelOfItsCode(t *testing.T) {
	cause := errors.New("the cause")
	for _, row := range []struct {
		err  tokencache.Error
		want error
	}{
		{tokencache.Error{Code: "invalid_grant"}, tokencache.ErrInvalidGrant},
		{tokencache.Error{Code: "invalid_client"}, tokencache.ErrInvalidClient},
		{tokencache.Error{StatusCode: 423}, tokencache.ErrLocked},
		{tokencache.Error{StatusCode: 503}, tokencache.ErrUnavailable},
		{tokencache.Error{Code: "server_error"}, tokencache.ErrUnavailable},
		{tokencache.Error{Err: cause}, cause},
	} {
		t.Run(row.want.Error(), func(t *testing.T) {
			grant := newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) { return nil, &row.err })
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				if _, err := w.cache.Source(grant).Token(); !errors.Is(err, row.want) {
					w.Errorf("got %v, want %v", err, row.want)
				}
			})
		})
	}
}

func TestHeldOffErrorSaysUntilWhen(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"90"}}})
		src := w.cache.ClientCredentials()
		begin := time.Now()
		_, _ = src.Token()
		_, err := src.Token()
		var held *tokencache.HeldOffError
		if !errors.As(err, &held) || !errors.Is(err, tokencache.ErrHeldOff) || !errors.Is(err, tokencache.ErrUnavailable) {
			w.Fatalf("got %v", err)
		}
		if held.Until.Sub(begin) != 90*time.Second || held.Err == nil {
			w.Errorf("held off for %v after %v, want 90 s", held.Until.Sub(begin), held.Err)
		}
	})
	t.Run("rejections", func(t *testing.T) {
		inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
			src := w.cache.ClientCredentials()
			tok, err := src.Token()
			for range 4 {
				if tok != nil {
					tok, err = src.Rejected(w.Context(), tok, "GET https://api.example.com/")
				}
			}
			var held *tokencache.HeldOffError
			if !errors.As(err, &held) || time.Until(held.Until) != 2*time.Second {
				w.Errorf("got %v, want to be held off for 2 s", err)
			}
		})
	})
}

func TestEmptySecretIsRefused(t *testing.T) {
	for name, auth := range map[string]tokencache.ClientAuth{
		"basic": tokencache.ClientSecretBasic(""), "raw": tokencache.ClientSecretBasicRaw(""), "post": tokencache.ClientSecretPost(""),
	} {
		_, err := tokencache.New(tokencache.Config{TokenURL: "https://as.example.com/token", ClientID: "client", Auth: auth})
		if err == nil || !strings.Contains(err.Error(), "Config.Auth") || !strings.Contains(err.Error(), "empty") {
			t.Errorf("%s: got %v, want an error that names Config.Auth", name, err)
		}
	}
}

// The public shape is small, and stays so on purpose.
func TestNumberOfExportedTypes(t *testing.T) {
	const want = 22
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				if name := spec.(*ast.TypeSpec).Name; name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	if len(names) != want {
		t.Errorf("%d exported types, want %d; say so in docs/architecture.md too: %s", len(names), want, strings.Join(names, " "))
	}
}

func TestShutdownLeavesTokensOfOthersAlone(t *testing.T) {
	for _, keep := range []bool{false, true} {
		inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
			w.token(w.cache.Source(describing(func(d *tokencache.GrantInfo) { d.Name, d.KeepOnShutdown = "own", keep })))
			if err := w.cache.Shutdown(w.Context()); err != nil {
				w.Error(err)
			}
			if got := w.srv.Count("revoke"); (got == 0) != keep {
				w.Errorf("KeepOnShutdown %v: %d revocations", keep, got)
			}
		})
	}
}

func TestDescriptionOfAGrantShowsNoSecret(t *testing.T) {
	var shown string
	show := func(d *tokencache.GrantInfo) {
		tokencache.PasswordGrant{Username: "alice", Password: tokencache.NewSecret(userPassword)}.Describe(d)
		d.Input("pin", userPassword)
		for _, text := range renderings(d) {
			shown += text
		}
	}
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.cache.Source(describing(show))
		if form := leak(shown); form != "" {
			w.Errorf("the password shows (%s)", form)
		}
	})
}

// tenantGrant embeds a built-in grant and has an input of its own.
type tenantGrant struct {
	tokencache.ClientCredentialsGrant
	tenant string
}

func (g tenantGrant) Describe(d *tokencache.GrantInfo) {
	g.ClientCredentialsGrant.Describe(d)
	d.Input("tenant", g.tenant)
}

func (g tenantGrant) Obtain(ctx context.Context, r *tokencache.GrantRequest) (*oauth2.Token, error) {
	return hourToken("token of " + g.tenant), nil
}

func TestGrantThatEmbedsABuiltInOneIsNotTakenForIt(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		for _, tenant := range []string{"a", "b"} {
			if got := w.token(w.cache.Source(tenantGrant{tenant: tenant})); got != "token of "+tenant {
				w.Errorf("tenant %s got %q", tenant, got)
			}
		}
	})
}

func TestGrantThatReplacesItsDescriptionHarmsNoOther(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		var kept *tokencache.GrantInfo
		for range 100 {
			w.cache.Source(describing(func(d *tokencache.GrantInfo) {
				d.Input("lost", "x")
				*d = tokencache.GrantInfo{Name: "own"}
				kept = d
			}))
			kept.Input("late", "x")
			alice := w.token(w.cache.Password("alice", "wonderland"))
			if tok, err := w.cache.Password("alice", "wrong").Token(); err == nil {
				w.Fatalf("a wrong password got %v, the right one %q", tok, alice)
			}
		}
	})
}

func TestDescriptionThatIsKeptHarmsNoOther(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		var kept *tokencache.GrantInfo
		w.cache.Source(describing(func(d *tokencache.GrantInfo) { kept = d }))
		first := w.token(w.cache.Password("alice", "wonderland"))
		for range 100 {
			kept.Input("late", "x")
			if w.token(w.cache.Password("alice", "wonderland")) != first {
				w.Fatal("a kept description has changed the key of another grant")
			}
		}
	})
}

func TestInputsOfACopiedDescriptionCount(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		of := func(password string) *tokencache.Source {
			return w.cache.Source(audited{describing(func(d *tokencache.GrantInfo) {
				var inner tokencache.GrantInfo
				tokencache.PasswordGrant{Username: "alice", Password: tokencache.NewSecret(password)}.Describe(&inner)
				*d = inner
			}), new(int)})
		}
		right, err := of("wonderland").Token()
		wrong, err2 := of("wrong").Token()
		if err != nil || err2 != nil || right == wrong {
			w.Errorf("%v, %v, %v, %v: want two tokens", right, err, wrong, err2)
		}
	})
}

func TestSessionsWithoutNameAndRefreshTokenDoNotShareAToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		alice, bob := w.cache.Session("", hourToken("alice")), w.cache.Session("", hourToken("bob"))
		if w.token(alice) != "alice" || w.token(bob) != "bob" {
			w.Error("sessions of two users share a token")
		}
	})
}

func TestOwnErrorOfAGrantConcernsItsKeyAlone(t *testing.T) {
	for name, err := range map[string]tokencache.Error{
		"nothing": {}, "no answer": {Op: "vault", Err: errors.New("down")},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				grant := newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) { return nil, &err })
				if _, err := w.cache.Source(grant).Token(); err == nil {
					w.Error("no error")
				}
				w.token(w.cache.ClientCredentials())
			})
		})
	}
	for name, err := range map[string]tokencache.Error{"busy": {StatusCode: 503}, "client": {Code: "invalid_client", Permanent: true}} {
		t.Run("function/"+name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				grant := tokencache.FuncGrant("vault", func(context.Context) (*oauth2.Token, error) { return nil, &err })
				if _, err := w.cache.Source(grant).Token(); err == nil {
					w.Error("no error")
				}
				w.token(w.cache.ClientCredentials())
			})
		})
	}
}

func TestWhatADialectMakesOfAFailureIsScrubbed(t *testing.T) {
	params := grantParams("password")
	params.Set("password", userPassword)
	_, err := (fixedAnswer{status: 400, body: "no " + userPassword}).asks(t, params, func(cfg *tokencache.Config) {
		cfg.Dialect.Failure = func(e *tokencache.Error, _ http.Header, body []byte) {
			e.Err, e.URL = errors.New("server said "+string(body)), string(body)
		}
	})
	wantNoSecret(t, "error", err)
	if err == nil || !strings.Contains(err.Error(), "server said") {
		t.Errorf("got %v, want what the dialect has made of it", err)
	}
}

func TestPasswordOfACombinedGrantIsNotRepeated(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		w.srv.Fail("token", -1, tokentest.Fault{Status: http.StatusBadGateway})
		client, user := tokencache.ClientCredentialsGrant{}, tokencache.PasswordGrant{Username: "alice", Password: tokencache.NewSecret("wonderland")}
		for _, first := range []bool{true, false} {
			_, _ = w.cache.Source(combined{first, client, user}).Token()
			time.Sleep(time.Hour)
		}
		if got := w.srv.Count("token"); got != 2 {
			w.Errorf("%d token requests for two fetches, want 2", got)
		}
	})
}

type combined struct {
	clientFirst bool
	client      tokencache.ClientCredentialsGrant
	user        tokencache.PasswordGrant
}

func (g combined) Describe(d *tokencache.GrantInfo) {
	if g.clientFirst {
		g.client.Describe(d)
	}
	g.user.Describe(d)
	if !g.clientFirst {
		g.client.Describe(d)
	}
}

func (g combined) Obtain(ctx context.Context, r *tokencache.GrantRequest) (*oauth2.Token, error) {
	return g.user.Obtain(ctx, r)
}

func TestClientAuthMayReplaceHeaderAndParams(t *testing.T) {
	auth := func(cfg *tokencache.Config) {
		basic := cfg.Auth
		cfg.Auth = func(ctx context.Context, r *tokencache.ClientAuthRequest) error {
			r.Header, r.Params = r.Header.Clone(), url.Values{"grant_type": r.Params["grant_type"]}
			return basic(ctx, r)
		}
	}
	inBubble(t, tokentest.Behavior{}, auth, func(w *world) { w.token(w.cache.ClientCredentials()) })
}

func TestZeroHeldOffErrorHasAText(t *testing.T) {
	if text := new(tokencache.HeldOffError).Error(); !strings.HasPrefix(text, "tokencache: held off") {
		t.Errorf("got %q", text)
	}
	if err := new(tokencache.HeldOffError); !errors.Is(err, tokencache.ErrHeldOff) {
		t.Error("it is no ErrHeldOff")
	}
}
