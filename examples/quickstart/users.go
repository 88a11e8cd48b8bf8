package main

import (
	"context"
	"net/http"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// userBesideClient: requests of a user and of the client itself share one http.Client; the context says whose token goes
// along.
func (st *stage) userBesideClient(ctx context.Context, r *report) {
	client := st.client(st.cache.ClientCredentials(paymentsScope))
	alice := st.cache.Password("alice", "wonderland")
	st.srv.ResetLog()
	together(2*st.users, func(i int) {
		if i%2 == 0 {
			st.send(tokencache.WithSource(ctx, alice), client, http.MethodGet, "/me/alice", "")
		} else {
			st.send(ctx, client, http.MethodGet, "/me/client", "")
		}
	})
	r.UserRequests, r.ClientRequests = st.users, st.users
	r.UserOK = st.count(answeredFor("alice"))
	r.ClientOK = st.count(answeredFor("client"))
	r.UserTokenRequests = st.count(func(q *tokentest.Request) bool { return q.GrantType == "password" })
}

// answeredFor picks the answered requests for somebody's own page that came with that somebody's token.
func answeredFor(subject string) func(*tokentest.Request) bool {
	return func(q *tokentest.Request) bool {
		return answered(http.StatusOK)(q) && q.Path == "/me/"+subject && q.Subject == subject
	}
}

func userRows(r *report) []row {
	return []row{
		exactly("token requests with the password", r.UserTokenRequests, 1, "a password is sent once"),
		exactly("requests answered as the user", r.UserOK, r.UserRequests, "a request carries its user's token"),
		exactly("requests answered as the client", r.ClientOK, r.ClientRequests, "a request carries its client's token"),
	}
}
