// Package finapitest emulates the parts of finAPI Access that issue and revoke tokens, for tests
// and for demonstrations without finAPI:
//
//	POST /oauth/token, /oauth/revoke                 Access V1
//	POST /api/v2/oauth/token, /api/v2/oauth/revoke   Access V2
//	POST /api/v1/users                               creates a user; takes a client's token
//	GET  /api/v1/users                               the authorized user; takes a user's token
//	GET  /api/v1/clientConfiguration                 takes a client's token
//	anything else                                    takes a user's token; see Behavior.API
//
// The emulator is strict: it refuses what finAPI is documented to refuse, with the documented
// status and body. Where the documentation is silent, [Behavior] has a field; a comment that
// begins with "Assumed" marks a guess that has no field. The same credentials get the same token
// until it expires, with an expires_in that counts down.
//
// [New] listens on loopback, [NewPipe] on an in-memory network for [testing/synctest] bubbles. An
// emulator keeps every token until it is closed. It is not for production.
package finapitest
