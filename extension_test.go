package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// What users implement can be combined: grants, sources and hooks.

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

func TestDecoratedSourceHeals(t *testing.T) {
	type user struct{ *tokencache.Source }
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		client := &http.Client{Transport: &tokencache.Transport{
			Source: user{w.cache.ClientCredentials()}, Base: w.srv.Client().Transport,
		}}
		for range 5 {
			if got := w.get(client, "/"); got != 200 {
				w.Errorf("status %d", got)
			}
			w.srv.RevokeAll()
		}
		w.wantFetches(5)
	})
}

func TestDecoratedSourceIsUnderTheRule(t *testing.T) {
	type user struct{ *tokencache.Source }
	inBubble(t, tokentest.Behavior{Unauthorized: rejectsAll}, nil, func(w *world) {
		client := &http.Client{Transport: &tokencache.Transport{
			Source: user{w.cache.ClientCredentials()}, Base: w.srv.Client().Transport,
		}}
		for range 50 {
			if got := w.get(client, "/"); got != 401 {
				w.Errorf("status %d", got)
			}
		}
		if got := w.fetches(); got > 3 {
			w.Errorf("%d fetches, want at most 3", got)
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

// A protocol that is not HTTP tells the source itself what an API said.
func TestRejectedIsUnderTheRule(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		const target = "https://api.example.com/service/Method"
		for range 50 {
			tok, err := src.Token()
			if err != nil {
				w.Fatal(err)
			}
			next, err := src.Rejected(w.Context(), tok, target)
			if (next == nil) == (err == nil) || err != nil && !errors.Is(err, tokencache.ErrHeldOff) {
				w.Fatalf("got %v, %v", next, err)
			}
		}
		w.wantFetches(3)
	})
}

func TestRejectedHealsARevocation(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		const target = "https://api.example.com/service/Method"
		for i := range 5 {
			tok, err := src.Token()
			if err != nil {
				w.Fatal(err)
			}
			next, err := src.Rejected(w.Context(), tok, target)
			if err != nil || next.AccessToken == tok.AccessToken {
				w.Fatalf("revocation %d: got %v, %v", i, next, err)
			}
			src.Accepted(next, target, time.Now())
			late, err := src.Rejected(w.Context(), tok, target)
			if err != nil || late != next {
				w.Fatalf("a late rejection: got %v, %v, want the successor", late, err)
			}
		}
		w.wantFetches(6)
	})
}

func TestRejectedNeverReturnsNothing(t *testing.T) {
	var zero tokencache.Source
	if tok, err := zero.Rejected(context.Background(), hourToken("x"), "GET https://a/"); tok != nil || err == nil {
		t.Errorf("zero source: %v, %v", tok, err)
	}
	zero.Accepted(hourToken("x"), "GET https://a/", time.Now())
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		if tok, err := src.Rejected(w.Context(), nil, "GET https://a/"); tok != nil || err == nil {
			w.Errorf("nil token: %v, %v", tok, err)
		}
		src.Accepted(nil, "GET https://a/", time.Now())
		if tok, err := src.Rejected(w.Context(), hourToken("unknown"), "GET https://a/"); tok == nil || err != nil {
			w.Errorf("unknown token: %v, %v", tok, err)
		}
		if err := w.cache.Close(); err != nil {
			w.Fatal(err)
		}
		if tok, err := src.Rejected(w.Context(), hourToken("x"), "GET https://a/"); tok != nil || !errors.Is(err, tokencache.ErrClosed) {
			w.Errorf("closed: %v, %v", tok, err)
		}
	})
}

func TestRejectionNamesMethodAndTarget(t *testing.T) {
	var got tokencache.RejectionInfo
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks.Rejected = func(_ context.Context, r tokencache.RejectionInfo) { got = r }
	}
	for target, want := range map[string][2]string{
		"POST https://api.example.com/transfers": {"POST", "https://api.example.com/transfers"},
		"https://api.example.com/service/Method": {"", "https://api.example.com/service/Method"},
	} {
		inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
			src := w.cache.ClientCredentials()
			tok, _ := src.Token()
			_, _ = src.Rejected(w.Context(), tok, target)
			if got.Method != want[0] || got.Target != want[1] {
				w.Errorf("%q was reported as %q, %q", target, got.Method, got.Target)
			}
		})
	}
}

type spanKey struct{}

func TestGrantIsAskedInTheContextOfFetchStarted(t *testing.T) {
	var seen []any
	see := func(ctx context.Context) { seen = append(seen, ctx.Value(spanKey{})) }
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks = tokencache.Hooks{
			FetchStarted: func(ctx context.Context, _ tokencache.FetchInfo) context.Context {
				return context.WithValue(ctx, spanKey{}, "span")
			},
			FetchDone: func(ctx context.Context, _ tokencache.FetchInfo) { see(ctx) },
			NewToken:  func(ctx context.Context, _ tokencache.FetchInfo, _ *oauth2.Token) error { see(ctx); return nil },
		}
	}
	inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
		grant := newScripted(func(ctx context.Context, _ int64, _ *oauth2.Token) (*oauth2.Token, error) {
			see(ctx)
			return hourToken("x"), nil
		})
		w.token(w.cache.Source(grant))
		if fmt.Sprint(seen) != "[span span span]" {
			w.Errorf("grant, FetchDone and NewToken saw %v", seen)
		}
	})
}

func TestContextThatHasLostItsFetchIsReportedAndIgnored(t *testing.T) {
	for name, lost := range map[string]context.Context{"nil": nil, "another": context.Background()} {
		t.Run(name, func(t *testing.T) {
			var reported error
			hooks := func(cfg *tokencache.Config) {
				cfg.Hooks.FetchStarted = func(context.Context, tokencache.FetchInfo) context.Context { return lost }
				cfg.Hooks.HookFailed = func(_ context.Context, err error) { reported = err }
			}
			inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
				w.token(w.cache.ClientCredentials())
				if reported == nil || !strings.Contains(reported.Error(), "Hooks.FetchStarted") {
					w.Errorf("reported %v", reported)
				}
			})
		})
	}
}

func TestFailedSaveIsReportedAndTheTokenIsUsed(t *testing.T) {
	full := errors.New("disk full")
	var reported error
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks.NewToken = func(context.Context, tokencache.FetchInfo, *oauth2.Token) error { return full }
		cfg.Hooks.HookFailed = func(_ context.Context, err error) { reported = err }
	}
	inBubble(t, tokentest.Behavior{}, hooks, func(w *world) {
		w.token(w.cache.ClientCredentials())
		if !errors.Is(reported, full) {
			w.Errorf("reported %v, want the hook's error", reported)
		}
		w.wantFetches(1)
	})
}

// loud returns Hooks that note every call under a name, and their types' number.
func loud(name string, calls *[]string) tokencache.Hooks {
	note := func(hook string) { *calls = append(*calls, name+" "+hook) }
	return tokencache.Hooks{
		NewToken: func(context.Context, tokencache.FetchInfo, *oauth2.Token) error {
			note("NewToken")
			return errors.New(name)
		},
		FetchStarted: func(ctx context.Context, _ tokencache.FetchInfo) context.Context {
			note(fmt.Sprint("FetchStarted after ", ctx.Value(spanKey{})))
			return context.WithValue(ctx, spanKey{}, name)
		},
		FetchDone: func(context.Context, tokencache.FetchInfo) { note("FetchDone") },
		Rejected:  func(context.Context, tokencache.RejectionInfo) { note("Rejected") },
		HoldOff:   func(context.Context, tokencache.HoldOffInfo) { note("HoldOff") },
		Revoked:   func(context.Context, tokencache.RevocationInfo) { note("Revoked") },
		HookFailed: func(_ context.Context, err error) {
			note("HookFailed " + strings.ReplaceAll(err.Error(), "\n", " and "))
		},
	}
}

func TestJoinedHooksAreCalledInOrder(t *testing.T) {
	for name, hooks := range map[string]func(a, b tokencache.Hooks) tokencache.Hooks{
		"two": func(a, b tokencache.Hooks) tokencache.Hooks { return tokencache.JoinHooks(a, b) },
		"with empty ones": func(a, b tokencache.Hooks) tokencache.Hooks {
			return tokencache.JoinHooks(tokencache.Hooks{}, a, tokencache.Hooks{}, b, tokencache.Hooks{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []string
			join := func(cfg *tokencache.Config) { cfg.Hooks = hooks(loud("a", &calls), loud("b", &calls)) }
			inBubble(t, tokentest.Behavior{}, join, func(w *world) {
				src := w.cache.ClientCredentials()
				tok, _ := src.Token()
				w.srv.Fail("token", 3, tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_client"}`})
				_, _ = src.Rejected(w.Context(), tok, "GET https://a/")
				_ = src.Reset(w.Context())
				_ = src.Revoke(w.Context())
				want := []string{
					"a FetchStarted after <nil>", "b FetchStarted after a", "a FetchDone", "b FetchDone", "a NewToken", "b NewToken",
					"a HookFailed tokencache: Hooks.NewToken: a and b", "b HookFailed tokencache: Hooks.NewToken: a and b",
					"a Rejected", "b Rejected", "a FetchStarted after <nil>", "b FetchStarted after a", "a FetchDone", "b FetchDone",
					"a HoldOff", "b HoldOff", "a HoldOff", "b HoldOff", "a Revoked", "b Revoked",
				}
				if got := strings.Join(calls, "\n"); got != strings.Join(want, "\n") {
					w.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
				}
			})
		})
	}
}

func TestJoinedHookIsCalledThoughTheOneBeforePanics(t *testing.T) {
	var calls []string
	bad := tokencache.Hooks{
		NewToken:     func(context.Context, tokencache.FetchInfo, *oauth2.Token) error { panic("a") },
		FetchStarted: func(context.Context, tokencache.FetchInfo) context.Context { panic("a") },
		FetchDone:    func(context.Context, tokencache.FetchInfo) { panic("a") },
	}
	join := func(cfg *tokencache.Config) { cfg.Hooks = tokencache.JoinHooks(bad, loud("b", &calls)) }
	inBubble(t, tokentest.Behavior{}, join, func(w *world) {
		w.token(w.cache.ClientCredentials())
		got := strings.Join(calls, ", ")
		for _, hook := range []string{"b FetchStarted", "b FetchDone", "b NewToken"} {
			if !strings.Contains(got, hook) {
				w.Errorf("%s was not called: %s", hook, got)
			}
		}
	})
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
