// Package finapi configures tokencache for finAPI Access, V1 and V2. docs/finapi.md says more.
//
//	cache, err := tokencache.New(finapi.Config(finapi.Options{}, clientID, clientSecret)) // the sandbox, V1
//	app := cache.ClientCredentials()             // the client's own token
//	alice := cache.Password("alice", password)   // a user's
//	client := &http.Client{Transport: &tokencache.Transport{Source: app, Origins: finapi.Origins(finapi.Options{})}}
//	req, err := http.NewRequestWithContext(tokencache.WithSource(ctx, alice), "GET", finapi.SandboxURL+"/api/v1/accounts", nil)
//	resp, err := client.Do(req)
//	err = cache.Shutdown(ctx) // or Close, if another process uses the same credentials
//
// finAPI gives the same token to everyone who asks with the same credentials. Shutdown revokes it for all of them: the
// others get a new one at their next 401. Revocations are authenticated by the client's own token.
//
// An expires_in of 0 is never: such a token is used until a service answers 401, or for Config.MaxAge. In the last second
// of a token 0 can also mean less than one; the 401 then costs one renewal. Not documented are the code of a wrong
// password (400, as that of a dead refresh token), the default life of refresh tokens, whether expires_in counts down,
// whether a revoked token is handed out again, and rate limits; nothing depends on them.
//
// # What the documentation says, and the test of it
//
//	every service call must be authorized by an access_token       TestEveryServiceCallCarriesAnAccessToken
//	always pass a valid client identifier and client secret        TestEveryTokenRequestCarriesTheClientCredentials
//	to authorize a client, grant_type=client_credentials           TestTheClientIsAuthorizedWithClientCredentials
//	to authorize a user, grant_type=password                       TestAUserIsAuthorizedWithThePassword
//	in the Authorization header, with the word Bearer              TestBearerIsSentThoughItComesBackInLowerCase
//	the access_token as a request parameter is deprecated          TestTheAccessTokenIsNeverARequestParameter
//	expiration time of one hour, which can be changed              TestTheLifetimeIsWhatTheAnswerSays
//	an expired token results in a 401, get a new one               TestAnExpiredTokenIsReplacedAtThe401
//	grant_type=refresh_token, with the previous refresh_token      TestAUsersTokenIsRefreshedWithTheRefreshToken
//	which works for user-related tokens only                       TestTheClientsTokenIsRenewedWithoutARefreshToken
//	the answer to a user without refresh_token                     TestAUserWithoutARefreshTokenLogsInAgain
//	a user who is not verified: 403                                TestAUserWhoIsNotVerifiedIsATypedError
//	a locked user (maxUserLoginAttempts): 423                      TestALockedUserIsLeftAloneUntilThePasswordChanges
//	a role without the privilege: 403                              TestTheWrongRoleIsNoReasonToRenew
//	parameters in the body instead of the URL                      TestTokenParametersAreInTheBody
//	Content-Type application/x-www-form-urlencoded                 TestTheContentTypeIsAForm
//	only when a new token is needed; cache and re-use              TestATokenIsAskedForOnceAndReused
//	always the same token for the same credentials                 TestTheLastSecondsOfTheSameTokenAreNoStorm
//	hint access_token or refresh_token                             TestRevocationNamesTheKindOfToken
//	200 for an invalid token as well                               TestAnUnknownTokenIsRevoked
//	the client's access_token authenticates the revocation         TestRevocationIsAuthenticatedByTheClientsToken
//	POST /oauth/revoke?token={}&token_type_hint={}                 TestTheTokenIsInTheQueryOfV1AndInTheFormOfV2
//	pass a request ID with any call                                TestTheRequestIDIsSentWithTokenAndRevocationRequests
//	more than 255 characters are an error                          TestARequestIDThatIsTooLongIsRefusedBeforeAnythingIsSent
//	it is always returned, for your logs                           TestTheRequestIDIsOnEveryError
//	the three steps: client, user, token of the user               TestTheFlowOfTheDocumentation (examples/finapi)
package finapi
