// Package tokentest provides a fake OAuth 2.0 authorization server, and an API that accepts its
// tokens, for tests.
//
// A [Server] issues opaque tokens for the client credentials, password and refresh token grants
// (RFC 6749), revokes them (RFC 7009), lets them expire, and accepts or rejects them at its API
// (RFC 6750). It records every request and every token, for a test to look at.
//
//	POST /token     the token endpoint, form or JSON
//	POST /revoke    the revocation endpoint, form or JSON
//	/redirect?to=   the API: a redirect, with ?code= (default: 302)
//	anything else   the API: see Behavior.API
//
// [Behavior] configures the server; its zero value is a well-behaved one. [Server.Update] changes
// the behavior of a running server, and [Server.Fail] makes single requests fail.
//
// [New] listens on a loopback socket. [NewPipe] listens on an in-memory network, for tests in a
// [testing/synctest] bubble, where time is fake and sockets cannot be used:
//
//	synctest.Test(t, func(t *testing.T) {
//		server := tokentest.NewPipe(tokentest.Behavior{Lifetime: time.Hour})
//		defer server.Close()
//		cache, err := tokencache.New(tokencache.Config{
//			TokenURL:   server.TokenURL(),
//			ClientID:   "client",
//			Auth:       tokencache.ClientSecretBasic("secret"),
//			HTTPClient: server.Client(), // only this client can reach an in-memory server
//		})
//		...
//		client := &http.Client{Transport: &tokencache.Transport{
//			Source: cache.ClientCredentials(),
//			Base:   server.Client().Transport, // for the same reason
//		}}
//		...
//		time.Sleep(time.Hour) // returns at once; every token has expired
//	})
//
// A server keeps every request and every token in memory, including secrets. It is not for
// production.
package tokentest
