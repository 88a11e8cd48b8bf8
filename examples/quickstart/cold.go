package main

import (
	"context"
	"net/http"
)

const accountsScope = "accounts.read"

// cold: nobody has a token, and everybody wants one at once.
func (st *stage) cold(ctx context.Context, r *report) {
	client := st.client(st.cache.ClientCredentials(accountsScope))
	together(st.goroutines, func(int) { st.send(ctx, client, http.MethodGet, "/accounts", "") })
	r.ColdGoroutines = st.goroutines
	r.ColdTokenRequests = st.count(asksFor(accountsScope))
	r.ColdOK = st.count(answered(http.StatusOK))
}

func coldRows(r *report) []row {
	return []row{
		exactly("token requests", r.ColdTokenRequests, 1, "any number of callers cause one token request"),
		exactly("API requests answered 200", r.ColdOK, r.ColdGoroutines, "all callers get the token"),
	}
}
