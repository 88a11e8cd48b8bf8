// Package tokentest provides a fake OAuth 2.0 authorization server, together
// with an API that its tokens protect, for testing code that uses either.
//
// A [Server] issues real, opaque tokens for the client credentials, password
// and refresh token grants (RFC 6749), revokes them (RFC 7009), lets them
// expire, and accepts or rejects them at its API (RFC 6750). Everything that
// it saw and issued can be asked for afterwards.
//
//	POST /token     the token endpoint, form or JSON
//	POST /revoke    the revocation endpoint, form or JSON
//	/redirect?to=   the API: a redirect, with ?code= (default 302)
//	anything else   the API: see Behaviour.API
//
// What the server does is plain data, [Behaviour]; its zero value is a
// well-behaved server. It can be changed while the server runs, with
// [Server.Update]. Single requests are made to go wrong with [Server.Fail].
//
// [New] listens on a loopback socket. [NewPipe] listens on an in-memory network
// and is for tests inside a [testing/synctest] bubble, where an hour passes in
// no time and sockets do not work:
//
//	synctest.Test(t, func(t *testing.T) {
//		server := tokentest.NewPipe(tokentest.Behaviour{Lifetime: time.Hour})
//		defer server.Close()
//		cache, err := tokencache.New(tokencache.Config{
//			TokenURL: server.TokenURL(), ClientID: "client", Auth: tokencache.ClientSecretBasic("secret"),
//			HTTPClient: server.Client(), // the only way to an in-memory server
//		})
//		...
//		client := &http.Client{Transport: &tokencache.Transport{
//			Source: cache.ClientCredentials(), Base: server.Client().Transport, // here, too
//		}}
//		...
//		time.Sleep(time.Hour) // every token has expired now
//	})
//
// The server keeps every request and every token until it is closed, secrets
// included. It is not for production.
package tokentest
