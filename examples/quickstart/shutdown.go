package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// shutdown shuts the cache down, which revokes its tokens, even if an interrupt has canceled ctx.
func (env *environment) shutdown(ctx context.Context, r *report) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), env.timeout)
	defer cancel()
	env.replaceLiveToken(ctx)
	before := env.srv.Live()
	if err := env.cache.Shutdown(ctx); err != nil {
		env.failed(err)
	}
	r.LiveBefore = len(before)
	r.LiveAfter = len(env.srv.Live())
	for _, t := range env.srv.Tokens() {
		if t.RevokeAsked {
			r.Revoked++
		}
	}
	for _, t := range before {
		if now, _ := env.srv.Introspect(t.Value); !now.RevokeAsked {
			r.Forgotten++
		}
	}
	env.srv.ResetLog()
	_, err := env.cache.ClientCredentials(accountsScope).TokenContext(ctx)
	r.ClosedAfter = errors.Is(err, tokencache.ErrClosed) && env.count(func(*tokentest.Request) bool { return true }) == 0
}

// replaceLiveToken makes the cache replace a token that stays valid at the server.
func (env *environment) replaceLiveToken(ctx context.Context) {
	payments := env.cache.ClientCredentials(paymentsScope)
	tok, err := payments.TokenContext(ctx)
	if err == nil {
		_, err = payments.Rejected(ctx, tok, http.MethodGet+" "+env.srv.URL+"/payments")
	}
	if err != nil {
		env.failed(err)
	}
}

func shutdownRows(r *report) []row {
	available := 0
	if !r.ClosedAfter {
		available = 1
	}
	return []row{
		shown("live tokens before, with a replaced one", thousands(r.LiveBefore)),
		atLeast("tokens revoked, with invalid ones", r.Revoked, max(r.LiveBefore, 1), "shutdown revokes the tokens"),
		exactly("live tokens not revoked", r.Forgotten, 0, "shutdown revokes every live token"),
		exactly("live tokens after", r.LiveAfter, 0, "after shutdown no token is live"),
		exactly("tokens available after", available, 0, "after shutdown the cache returns no token"),
	}
}
