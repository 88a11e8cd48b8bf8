// Package interop tests tokencache against authorization servers written by others: ory/fosite,
// in process, and panva's oidc-provider, which runs on Node.js. Both are real HTTP servers. Both
// rotate the refresh token with every refresh and treat the reuse of an old one as theft: they
// revoke all refresh and access tokens of the grant. The package has no code other than tests.
package interop
