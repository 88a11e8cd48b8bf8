// Package moovtest emulates the part of Moov's API that concerns access tokens, for testing code
// that uses package moov.
//
//	POST /oauth2/token     creates or refreshes an access token; form or JSON
//	POST /oauth2/revoke    revokes a token; form or JSON
//	GET  /accounts         the API: reading a path needs the scope "/accounts.read",
//	POST /accounts         anything else "/accounts.write"; Basic with the API key may do both
//
// The emulator is strict: it refuses what Moov's documentation says is refused, with the documented
// status and body. Where the documentation is silent or contradicts itself, [Behavior] has a field
// marked "Not documented". A comment in the code marks a guess that has no field.
//
// [New] listens on a loopback socket, [NewPipe] on an in-memory network for [testing/synctest]
// bubbles. An emulator keeps every request and every token until it is closed. It is not for
// production.
package moovtest
