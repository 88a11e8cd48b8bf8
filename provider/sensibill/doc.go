// Package sensibill configures tokencache for the Sensibill API (Spend Manager). It provides the
// client's own token, and users' tokens, for which the users' credentials are first exchanged for a
// code. See also docs/sensibill.md.
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
// # What is different about Sensibill
//
//   - Basic authentication has the key, secret, names and passwords as they are, not form-encoded.
//     Token requests are JSON.
//   - A 401 in the first step and a 400 in the second are ErrInvalidGrant. A 401 in the second step
//     is ErrInvalidClient. A 400 in the first step has no sentinel error, since only a change of the
//     configuration can help. [FailureOf] returns the step and Sensibill's error body.
//   - A password that was refused twice is held off until [tokencache.Source.Reset].
//   - token_id is in the token's Extra.
//
// # What is not documented
//
// Sensibill does not document the status of its redirects, how long a code is valid, whether
// refresh tokens are replaced and how they are refused, whether a second login returns the same
// token, and whether POST /invalidate ends the refresh token. This package works either way, and
// sensibilltest can behave either way. If replicas log in the same users, they may share tokens:
// use Close instead of Shutdown.
//
// # The documentation of getAuthorizationGrant, and the tests
//
//	a 200 has the code for accessToken          TestAUserLogsInInTwoSteps
//	names have underscores                      TestTheFirstStepSendsEveryDocumentedParameter
//	the user's name and password in Basic       TestCredentialsAreNotFormEncoded
//	or accessID, accessSecret, credentialType   TestSingleSignOnUsersHaveACredentialType
//	a secret may have to be protected           TestNoSecretIsShown
//	400 for a missing or wrong parameter        TestRefusalsOfEitherStepAreTyped
//	400 for a credentialType not allowed        TestRefusalsOfEitherStepAreTyped
//	401 for wrong credentials                   TestRefusalsOfEitherStepAreTyped
//	  ... which must not be sent over and over  TestAWrongPasswordIsSentAtMostTwice
//	client_id is the Client Key, in base64      TestCredentialsAreNotFormEncoded
//	response_type is "code", must be sent       TestTheFirstStepSendsEveryDocumentedParameter
//	redirect_uri, with redirect=false too       TestAnIncompleteLoginIsNotSent
//	a client may intercept the redirect         TestARedirectIsReadButNotFollowed
//	credential_type is "sensibill" by default   TestTheDefaultCredentialTypeIsSensibill
//	a user may have several credential types    TestOneNameWithTwoCredentialTypesIsTwoUsers
//	redirect=false has the code in the body     TestTheFirstStepSendsEveryDocumentedParameter
package sensibill
