// Package interop tests tokencache against an authorization server that others have written: ory/fosite, in process,
// behind a real HTTP server. It rotates refresh tokens at every use and takes a second use of one for theft, which ends
// the whole family, access tokens included. It has no code of its own.
package interop
