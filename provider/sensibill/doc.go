// Package sensibill is the Sensibill API (Spend Manager) for tokencache: the client's own token, and users' tokens, for
// which their credentials are first exchanged for a code.
//
//	o := sensibill.Options{RedirectURI: "https://app.example.com/callback", CredentialType: "some_bank"}
//	cache, err := tokencache.New(sensibill.Config(o, clientKey, clientSecret))
//	...
//	alice := cache.Source(sensibill.User(o, clientKey, accessID, accessSecret))
//	client := &http.Client{Transport: &tokencache.Transport{
//		Source: alice, Origins: []string{"https://receipts-sandbox.sensibill.io"},
//	}}
//	resp, err := client.Get(sensibill.SandboxURL + "/users/me")
//	...
//	err = cache.Shutdown(ctx)
//
// # Quirks
//
// Key, secret, names and passwords are in Basic as they are, not form-encoded; token requests are JSON. A refused password
// is held off until [tokencache.Source.Reset]. Refusals become the errors of tokencache: ErrInvalidGrant for 401 of the first
// step and 400 of the second, ErrInvalidClient for 401 of the second, and none for 400 of the first, which only a change of
// the configuration helps; [FailureOf] tells the step and what Sensibill said. A token's Extra has token_id.
//
// # Unknown
//
// Sensibill does not document the status of its redirects, how long a code lives, whether refresh tokens are replaced and
// how they are refused, whether a login returns the same token again, and whether POST /invalidate ends the refresh token.
// The package works either way; sensibilltest plays both. Where replicas log in the same users, and for that reason may
// share their tokens, use Close instead of Shutdown.
//
// # The documentation of getAuthorizationGrant, and the test for each of its sentences
//
//	begins the OAuth2 flow; a 200 has the code for accessToken    TestAUserLogsInInTwoSteps
//	parameters and results have names with underscores            TestTheFirstStepSendsEveryDocumentedParameter
//	the user's name and password in Basic, as RFC 2617 has it     TestCredentialsAreSentAsTheyAre
//	or accessID, accessSecret and credentialType                  TestSingleSignOnUsersHaveACredentialType
//	a secret may have to be guarded                               TestNoSecretIsShown
//	400 for a parameter that is missing or wrong                  TestRefusalsOfEitherStepAreTyped
//	400 for a credentialType not allowed to the client            TestRefusalsOfEitherStepAreTyped
//	401 for wrong credentials                                     TestRefusalsOfEitherStepAreTyped
//	  ... which are not to be sent over and over                  TestAWrongPasswordIsSentAtMostTwice
//	client_id is the Client Key, long and base64                  TestCredentialsAreSentAsTheyAre
//	response_type is "code" and must be sent                      TestTheFirstStepSendsEveryDocumentedParameter
//	redirect_uri is needed always, with redirect=false too        TestThereIsNoLoginWithoutARedirectURI
//	a client may have to intercept the redirect                   TestARedirectIsReadButNotFollowed
//	credential_type is "sensibill" unless it is another           TestTheDefaultCredentialTypeIsSensibill
//	a user may have credentials of several types                  TestOneNameOfTwoCredentialTypesIsTwoUsers
//	redirect is "true" or "false"; false has the code in the body TestTheFirstStepSendsEveryDocumentedParameter
package sensibill
