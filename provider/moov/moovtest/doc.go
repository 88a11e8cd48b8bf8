// Package moovtest plays Moov's API, as far as access tokens are concerned, for testing code that uses package moov.
//
//	POST /oauth2/token     create or refresh an access token, form or JSON
//	POST /oauth2/revoke    revoke one
//	GET  /accounts         the API: a path needs the scope of its own name, "/accounts.read" to read it and
//	POST /accounts         "/accounts.write" for everything else; Basic with the API key may do anything
//
// The emulator is strict: what Moov's documentation says is refused, it refuses, with the documented status and body.
// Where the documentation is silent or contradicts itself there is a field of [Behaviour], marked "not documented"; what
// is assumed without a choice stands in a comment where it is done.
//
// [New] listens on a loopback socket, [NewPipe] on an in-memory network for testing/synctest bubbles. It keeps every
// request and every token until it is closed and is not for production.
package moovtest
