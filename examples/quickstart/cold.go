package main

import (
	"context"
	"net/http"
)

const accountsScope = "accounts.read"

// coldStart sends concurrent requests while the cache has no token.
func (env *environment) coldStart(ctx context.Context, r *report) {
	client := env.client(env.cache.ClientCredentials(accountsScope))
	together(env.goroutines, func(int) { env.send(ctx, client, http.MethodGet, "/accounts", "") })
	r.ColdGoroutines = env.goroutines
	r.ColdTokenRequests = env.count(asksFor(accountsScope))
	r.ColdOK = env.count(answered(http.StatusOK))
}

func coldRows(r *report) []row {
	return []row{
		exactly("token requests", r.ColdTokenRequests, 1, "any number of callers cause one token request"),
		exactly("API requests answered 200", r.ColdOK, r.ColdGoroutines, "all callers get the token"),
	}
}
