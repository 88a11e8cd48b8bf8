// Package finapi configures tokencache for finAPI Access V1 and V2. See also docs/finapi.md.
//
//	options := finapi.Options{} // the sandbox, Access V1
//	cache, err := tokencache.New(finapi.Config(options, clientID, clientSecret))
//	...
//	app := cache.ClientCredentials()           // the client's own token
//	alice := cache.Password("alice", password) // a user's token
//	client := &http.Client{Transport: &tokencache.Transport{
//		Source:  app,
//		Origins: finapi.Origins(options),
//	}}
//	req, err := http.NewRequestWithContext(tokencache.WithSource(ctx, alice),
//		http.MethodGet, finapi.SandboxURL+"/api/v1/accounts", nil)
//	...
//	resp, err := client.Do(req)
//	...
//	err = cache.Shutdown(ctx) // or Close, if another process uses the same credentials
//
// finAPI issues the same token to every process that asks with the same credentials. Shutdown
// revokes it for all of them; the other processes fetch a new token after their next 401.
// Revocation requests are authenticated by the client's own token.
//
// An expires_in of 0 means that the token never expires. Such a token is used until a service
// answers 401, or for Config.MaxAge. During the last second of a token's lifetime 0 can also mean
// "less than a second"; the resulting 401 costs one renewal.
//
// finAPI does not document the error code of a wrong password (the status is 400, as for a refused
// refresh token), the default lifetime of refresh tokens, whether expires_in counts down, whether
// a revoked token is issued again, and its rate limits. This package depends on none of these.
//
// # The finAPI documentation, and the tests
//
//	every service call needs an access_token     TestEveryServiceCallCarriesAnAccessToken
//	always pass client identifier and secret     TestEveryTokenRequestCarriesTheClientCredentials
//	authorize a client with client_credentials   TestTheClientIsAuthorizedWithClientCredentials
//	authorize a user with password               TestAUserIsAuthorizedWithThePassword
//	in the Authorization header, after Bearer    TestTheSchemeIsBearerThoughTokenTypeIsLowerCase
//	access_token as a parameter is deprecated    TestTheAccessTokenIsNeverARequestParameter
//	expires after one hour, can be changed       TestTheLifetimeComesFromExpiresIn
//	an expired token: 401, get a new one         TestATokenIsReplacedAfterA401
//	refresh_token, with the previous one         TestAUsersTokenIsRefreshedWithTheRefreshToken
//	which works for user-related tokens only     TestTheClientsTokenIsRenewedWithoutARefreshToken
//	the answer to a user without refresh_token   TestAUserWithoutARefreshTokenLogsInAgain
//	a user who is not verified: 403              TestAnUnverifiedUserIsATypedError
//	a locked user (maxUserLoginAttempts): 423    TestALockedUserIsNotRetriedUntilThePasswordChanges
//	a role without the privilege: 403            TestAWrongRoleDoesNotRenewTheToken
//	parameters in the body instead of the URL    TestTokenParametersAreInTheBody
//	Content-Type: a form                         TestTokenRequestsAreForms
//	only when a new token is needed; re-use it   TestATokenIsRequestedOnceAndReused
//	always the same token for same credentials   TestFewRequestsWhileTheSameTokenIsAboutToExpire
//	hint access_token or refresh_token           TestRevocationSendsTheTokenTypeHint
//	200 for an invalid token as well             TestRevokingAnUnknownTokenSucceeds
//	authenticated by the client's access_token   TestRevocationIsAuthenticatedByTheClientsToken
//	/oauth/revoke?token={}&token_type_hint={}    TestTheTokenIsInTheQueryOfV1AndInTheFormOfV2
//	pass a request ID with any call              TestTheRequestIDIsSentWithTokenAndRevocationRequests
//	more than 255 characters are an error        TestAnInvalidRequestIDIsRefusedBeforeAnythingIsSent
//	it is always returned, for your logs         TestTheRequestIDIsInEveryError
//	client, then user, then the user's token     TestTheFlowOfTheDocumentation (examples/finapi)
package finapi
