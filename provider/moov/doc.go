// Package moov configures tokencache for the payment API of Moov (https://docs.moov.io):
//
//	cfg := moov.Config(moov.Options{Origin: "https://your-domain.com"}, publicKey, secretKey)
//	cache, err := tokencache.New(cfg)
//	if err != nil {
//		return err
//	}
//	client := cache.ClientCredentials("/accounts.read", "/accounts.write").Client()
//	resp, err := client.Get("https://api.moov.io/accounts")
//	...
//	err = cache.Shutdown(ctx) // after your servers have drained
//
// Errors are *[tokencache.Error]; tokens are cached for each set of scopes.
//
// # What is different about Moov
//
//   - Token requests need an Origin or Referer that the API key allows; they go with revocations too, and so does
//     X-Moov-Version. Requests to the API are yours: set X-Moov-Version on them yourself.
//   - A scope is required. Scopes name accounts ("/accounts/{id}/cards.read"), so there can be many tokens: once there
//     are, those without use for an hour are revoked and forgotten (Config.MaxIdle).
//   - expires_in is a number of seconds or a Unix timestamp, see [Lifetime]. Where it says neither, a token is used for
//     15 minutes (Config.MaxAge).
//   - Every answer brings a refresh token. It is not used, since the key can always get a new token, unless the grant says
//     so: tokencache.ClientCredentialsGrant{Scopes: scopes, UseRefreshToken: true}. Not used, each lives on when its
//     access token is replaced, and is kept for Shutdown to revoke, one for every renewal. Used, there is one at a time.
//   - A refusal is {"error": "text"}, which becomes Error.Code if it is a code and else Error.Description, or a map from
//     parameters to messages, which becomes Error.Description and a code of RFC 6749: invalid_scope, invalid_grant for a
//     refresh token, otherwise invalid_request. 404 is permanent: the version or the URL is wrong. 429 is waited out by
//     Retry-After or X-Retry-In.
//   - A request with an Authorization header of its own passes untouched: most of the API takes Basic with the key too.
//   - Each replica has tokens of its own, as far as is documented, so Shutdown harms no other. It waits when that is more
//     than the rate limit allows, two requests for each set of scopes: give its context the time, or use Close.
//
// # What is not known
//
// Moov does not document what it really sends as expires_in, how long tokens live, whether a refresh token is replaced when
// it is used, how a dead one is refused, what revoking a token does to those issued with it or what it answers for an
// unknown one, whether revocations need an Origin, and what a 401 looks like. Nothing here depends on it: package
// moovtest plays each either way and the tests run both.
//
// # Each sentence of the documentation, and its test
//
//	revoke: a refresh or access token is no longer needed          TestRevokeNamesBothTokensAndTheirTypes
//	revoke: token is required                                      TestRevokeNamesBothTokensAndTheirTypes
//	revoke: token_type_hint is the type of the token               TestRevokeNamesBothTokensAndTheirTypes
//	revoke, create: client_id in the body or user name of Basic    TestCredentialsInBasicOrInTheBodyOfFormOrJSON
//	revoke, create: client_secret in the body or its password      TestCredentialsInBasicOrInTheBodyOfFormOrJSON
//	revoke: 400 GenericError                                       TestErrorBodiesAreRead
//	revoke: 422 RevokeTokenRequestError                            TestUnknownTokenAtRevocation
//	revoke: other 4XX, 5XX, any content type                       TestRefusedRevocationIsTyped
//	create: create or refresh an access token                      TestRefreshTokenReturnedAlongsideIsUsedOnRequest
//	create: grant_type is required, client_credentials             TestRefreshTokenIsNotUsedUnlessAskedFor
//	create: grant_type refresh_token                               TestRefreshTokenReturnedAlongsideIsUsedOnRequest
//	create: scope is a space-delimited list                        TestScopesAreSpaceDelimitedAndPartOfTheKey
//	create: scope is required for client_credentials               TestRefusalsOfTheTokenEndpointAreTyped
//	create: refresh_token is that of the token being refreshed     TestRefreshTokenReturnedAlongsideIsUsedOnRequest
//	create: refresh_token is required for refresh_token            TestRefusedRefreshTokenStartsAnew
//	create: 400 GenericError                                       TestRefusalsOfTheTokenEndpointAreTyped
//	create: 422 AuthTokenRequestError                              TestNoTokenIsReadFromARefusal
//	create: other 4XX, 5XX, any content type                       TestRefusalsOfTheTokenEndpointAreTyped
//	retries                                                        TestRateLimitIsWaitedOutInsideTheFetchIfItIsShort
package moov
