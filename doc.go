// Package tokencache gives an [http.Client] valid OAuth 2.0 access tokens: fetched once for all
// goroutines, renewed before they expire and when an API answers 401, and revoked at shutdown.
//
// A [Cache] owns the tokens of one OAuth client at one authorization server. It makes a [Source]
// for each grant: the client's own token, a user's, a session's. A [Transport] adds the token of a
// source to every request:
//
//	cache, err := tokencache.New(tokencache.Config{
//		TokenURL:  "https://as.example.com/oauth/token",
//		RevokeURL: "https://as.example.com/oauth/revoke",
//		ClientID:  id,
//		Auth:      tokencache.ClientSecretBasic(secret),
//	})
//	...
//	client := cache.ClientCredentials("accounts.read").Client()
//	resp, err := client.Get("https://api.example.com/accounts")
//	...
//	err = cache.Shutdown(ctx)
//
// # The way of a request
//
// A request stops at the first level that has a usable token. Level 1 is the source's own pointer
// to an entry: an atomic load and a look at the monotonic clock. Level 2 is the cache, where all
// sources of the same key meet. Below that is the flight: one fetch per key, however many callers
// wait for it. Only a flight writes entries.
//
// An entry is fresh (it is used), stale (it is used, and the request that finds it stale starts its
// renewal in the background; there is no timer) or expired (it is not sent). It does not change
// after it is made, except that it dies: when its successor is published, when it is revoked, or when
// its renewal was refused for good and an API has rejected it.
//
// # Failures
//
// A failure is remembered, and answered from memory until its hold-off ends, see [ErrHeldOff]. A
// token that has not expired is served meanwhile. The page docs/failures.md has the classes of
// failures and the schedule.
//
// # Secrets
//
// No token, password or secret appears in an error, a log record, a key, or any formatting of a
// type of this package. Access tokens are returned by [Source.Token]. Refresh tokens are passed
// only to [Hooks.NewToken], and returned by [Cache.RequestToken] to the grant that called it.
//
// # Layers
//
// The files of this package read downwards, and each uses only those below it:
//
//	transport.go                 puts a token on a request, and deals with a 401
//	cache.go                     makes caches and sources
//	source.go                    levels 1 and 2: fresh, stale, expired
//	shutdown.go                  revokes what is left
//	fetch.go                     the body of a flight: asks the grant, publishes an entry
//	revoke.go revocation.go      RFC 7009
//	key.go funcgrant.go grant.go the grants, and their keys
//	request.go refresh.go        what may be sent, and what is remembered of it
//	core.go endpoint.go          the state of a cache, and its authorization server
//	failures.go kept.go          whom a failure concerns, and what is kept of it
//	answer.go                    what a failed request says of the credentials that it carried
//	config.go dialect.go         what the user sets
//	hooks.go errors.go auth.go   and gets
//
// The packages of internal/ are what these are made of; none of them knows the whole.
package tokencache
