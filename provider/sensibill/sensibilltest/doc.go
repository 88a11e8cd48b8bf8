// Package sensibilltest emulates the authentication of the Sensibill API, with as much of the rest as its tokens need to
// be seen at work:
//
//	GET  /api/v1/                     the directory of endpoints
//	GET  /api/v1/authorizationGrant   a user's credentials for a code
//	POST /api/v1/accessToken          a code, a refresh token or nothing for a token
//	POST /api/v1/invalidate           the end of the token that it is sent with
//	GET  /api/v1/logout               the same, always 200
//	POST /api/v1/users                registers a user, with the client's token
//	GET  /api/v1/users/me             tells whose token it is
//
// The emulator is strict: what the documents say is refused, it refuses with the documented status. Where they are silent,
// [Behaviour] has a field for each possibility; comments that begin with "Assumed" mark what has no source at all.
package sensibilltest
