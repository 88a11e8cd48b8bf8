// Package moov configures tokencache for the payment API of Moov (https://docs.moov.io).
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
// Failed requests return a *[tokencache.Error]. There is one token for each set of scopes. See also
// docs/moov.md.
//
// # What is different about Moov
//
//   - Token requests need an Origin or Referer that the API key allows. Both are also sent with
//     revocations, and so is X-Moov-Version. On requests to the API, set X-Moov-Version yourself.
//   - A scope is required. Scopes can name accounts ("/accounts/{id}/cards.read"), so there can be
//     many tokens. Once there are more than about a thousand, tokens that were not used for an hour
//     are revoked and forgotten (Config.MaxIdle).
//   - expires_in is a number of seconds or a Unix timestamp, and the number itself decides: up to ten
//     years it is in seconds; a time within the next ten years is a timestamp. If it is neither, the
//     token is used for 15 minutes (Config.MaxAge).
//   - Every answer has a refresh token. It is not used, since the API key can always get a new
//     token, unless the grant asks for it:
//     tokencache.ClientCredentialsGrant{Scopes: scopes, UseRefreshToken: true}. An unused refresh
//     token stays valid when its access token is replaced. The cache revokes it in the background
//     once the access token has expired, or in Shutdown.
//   - An error body is {"error": "text"}, or an object that maps parameters to messages. The text
//     becomes Error.Code if it looks like a code, otherwise Error.Description. The messages become
//     Error.Description, and Error.Code is invalid_scope, invalid_grant (for a refresh token) or
//     invalid_request.
//   - 404 is permanent: the version or the URL is wrong. After a 429, the cache waits for Retry-After
//     or X-Retry-In.
//   - A request that already has an Authorization header is sent unchanged; most of the API also
//     accepts Basic authentication with the API key.
//   - As far as is documented, replicas do not share tokens, so Shutdown does not affect the others.
//     It sends two requests for each set of scopes and waits if that exceeds the rate limit. Give its
//     context enough time, or use Close.
//
// # What is not documented
//
// Moov does not document what expires_in really is, how long tokens are valid, whether a refresh
// token is replaced when it is used, how an invalid one is refused, whether revoking a token
// revokes the tokens issued with it, what revoking an unknown token answers, whether revocations
// need an Origin, and what a 401 looks like. This package depends on none of it: package moovtest
// can behave either way, and the tests run both.
//
// # The Moov documentation, and the tests
//
//	revoke: a refresh or access token               TestRevokeSendsBothTokensWithTheirHints
//	revoke: token is required                       TestRevokeSendsBothTokensWithTheirHints
//	revoke: token_type_hint, the type of the token  TestRevokeSendsBothTokensWithTheirHints
//	revoke, create: client_id in body or Basic      TestCredentialsInBasicOrInTheBodyOfFormOrJSON
//	revoke, create: client_secret likewise          TestCredentialsInBasicOrInTheBodyOfFormOrJSON
//	revoke: 400 GenericError                        TestErrorBodiesAreRead
//	revoke: 422 RevokeTokenRequestError             TestRevocationOfAnUnknownToken
//	revoke: other 4XX, 5XX, any content type        TestRefusedRevocationIsTyped
//	create: create or refresh an access token       TestRefreshTokenIsUsedIfTheGrantAsksForIt
//	create: grant_type client_credentials           TestRefreshTokenIsNotUsedByDefault
//	create: grant_type refresh_token                TestRefreshTokenIsUsedIfTheGrantAsksForIt
//	create: scope is a space-delimited list         TestScopesAreSpaceDelimitedAndPartOfTheKey
//	create: scope for client_credentials            TestRefusalsOfTheTokenEndpointAreTyped
//	create: refresh_token, that of the old token    TestRefreshTokenIsUsedIfTheGrantAsksForIt
//	create: refresh_token for refresh_token         TestRefusedRefreshTokenFallsBackToClientCredentials
//	create: 400 GenericError                        TestRefusalsOfTheTokenEndpointAreTyped
//	create: 422 AuthTokenRequestError               TestNoTokenIsReadFromAnErrorBody
//	create: other 4XX, 5XX, any content type        TestRefusalsOfTheTokenEndpointAreTyped
//	retries                                         TestShortRateLimitIsWaitedOutInTheFetch
package moov
