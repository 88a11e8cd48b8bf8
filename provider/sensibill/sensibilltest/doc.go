// Package sensibilltest emulates the authentication of the Sensibill API, and enough of the rest to
// use the tokens:
//
//	GET  /api/v1/                     the directory of endpoints
//	GET  /api/v1/authorizationGrant   exchanges a user's credentials for a code
//	POST /api/v1/accessToken          exchanges a code or a refresh token for a token, or
//	                                  issues the client's own token
//	POST /api/v1/invalidate           invalidates the token that it is sent with
//	GET  /api/v1/logout               the same, but always answers 200
//	POST /api/v1/users                registers a user; requires the client's token
//	GET  /api/v1/users/me             returns the owner of the token
//
// The emulator is strict: it refuses what the documentation says is refused, with the documented
// status. Where the documentation is silent, [Behavior] has a field; a comment that begins with
// "Assumed" marks a guess that has no field.
//
// [New] listens on a loopback socket, [NewPipe] on an in-memory network for [testing/synctest]
// bubbles. An emulator keeps every request and every token until it is closed. It is not for
// production.
package sensibilltest
