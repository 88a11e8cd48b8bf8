// Package finapitest emulates the part of finAPI Access that hands out tokens, for tests and for runs without finAPI:
//
//	POST /oauth/token, /oauth/revoke                 Access V1
//	POST /api/v2/oauth/token, /api/v2/oauth/revoke   Access V2
//	POST /api/v1/users                               creates a user, with a token of the client
//	GET  /api/v1/users                               the authorized user, with a token of a user
//	GET  /api/v1/clientConfiguration                 with a token of the client
//	anything else                                    a service for users; see Behaviour.API
//
// It is strict: what finAPI is documented to refuse is refused, with the documented status and body. Where the
// documentation is silent it does what [Behaviour] says, and what it assumes without a source is marked with "Assumed" in
// the code. Its tokens live as finAPI's do: the same credentials get the same token until it expires, with an expires_in
// that counts down.
//
// [New] listens on loopback, [NewPipe] on an in-memory network for [testing/synctest] bubbles. It keeps every token until
// it is closed and is not for production.
package finapitest
