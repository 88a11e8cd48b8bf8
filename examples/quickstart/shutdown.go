package main

import (
	"context"
	"errors"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// shutdown: the service ends, and its tokens with it. An interrupt that ended ctx does not keep them from being revoked.
func (st *stage) shutdown(ctx context.Context, r *report) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), st.timeout)
	defer cancel()
	st.replaceLiveToken(ctx)
	before := st.srv.Live()
	if err := st.cache.Shutdown(ctx); err != nil {
		st.failed(err)
	}
	r.LiveBefore = len(before)
	r.LiveAfter = len(st.srv.Live())
	for _, t := range st.srv.Tokens() {
		if t.RevokeAsked {
			r.Revoked++
		}
	}
	for _, t := range before {
		if now, _ := st.srv.Introspect(t.Value); !now.RevokeAsked {
			r.Forgotten++
		}
	}
	st.srv.ResetLog()
	_, err := st.cache.ClientCredentials(accountsScope).TokenContext(ctx)
	r.ClosedAfter = errors.Is(err, tokencache.ErrClosed) && st.count(func(*tokentest.Request) bool { return true }) == 0
}

// replaceLiveToken makes the cache fetch another token while the old one goes on living at the server.
func (st *stage) replaceLiveToken(ctx context.Context) {
	payments := st.cache.ClientCredentials(paymentsScope)
	tok, err := payments.TokenContext(ctx)
	if err == nil {
		payments.Invalidate(tok)
		_, err = payments.TokenContext(ctx)
	}
	if err != nil {
		st.failed(err)
	}
}

func shutdownRows(r *report) []row {
	used := 0
	if !r.ClosedAfter {
		used = 1
	}
	return []row{
		shown("live tokens before, a replaced one included", thousands(r.LiveBefore)),
		atLeast("tokens revoked, ended ones included", r.Revoked, max(r.LiveBefore, 1), "shutdown revokes the tokens"),
		exactly("live ones it was not asked about", r.Forgotten, 0, "shutdown forgets no token"),
		exactly("live tokens after", r.LiveAfter, 0, "shutdown leaves no live token behind"),
		exactly("tokens to be had after", used, 0, "a cache that was shut down stays closed"),
	}
}
