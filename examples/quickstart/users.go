package main

import (
	"context"
	"net/http"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// userAndClient sends requests of a user and of the client through one http.Client. The context
// selects the token.
func (env *environment) userAndClient(ctx context.Context, r *report) {
	client := env.client(env.cache.ClientCredentials(paymentsScope))
	alice := env.cache.Password("alice", "wonderland")
	env.srv.ResetLog()
	together(2*env.users, func(i int) {
		if i%2 == 0 {
			env.send(tokencache.WithSource(ctx, alice), client, http.MethodGet, "/me/alice", "")
		} else {
			env.send(ctx, client, http.MethodGet, "/me/client", "")
		}
	})
	r.UserRequests, r.ClientRequests = env.users, env.users
	r.UserOK = env.count(answeredFor("alice"))
	r.ClientOK = env.count(answeredFor("client"))
	r.UserTokenRequests = env.count(func(q *tokentest.Request) bool { return q.GrantType == "password" })
}

// answeredFor matches the requests for a subject's own page that carried that subject's token and
// succeeded.
func answeredFor(subject string) func(*tokentest.Request) bool {
	return func(q *tokentest.Request) bool {
		return answered(http.StatusOK)(q) && q.Path == "/me/"+subject && q.Subject == subject
	}
}

func userRows(r *report) []row {
	return []row{
		exactly("token requests with the password", r.UserTokenRequests, 1, "a password is sent once"),
		exactly("requests answered as the user", r.UserOK, r.UserRequests, "a user's request carries the user's token"),
		exactly("requests answered as the client", r.ClientOK, r.ClientRequests, "the client's request carries the client's token"),
	}
}
