package moov_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/moov"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
)

func Example() {
	api := moovtest.New(moovtest.Behavior{}) // emulates Moov
	defer api.Close()

	cfg := moov.Config(moov.Options{
		BaseURL: api.URL, // only for the emulator
		Origin:  "https://your-domain.com",
	}, moovtest.ClientID, moovtest.ClientSecret)
	cache, err := tokencache.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := cache.ClientCredentials("/accounts.read", "/accounts.write").Client().Get(api.URL + "/accounts")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	if err := cache.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	for _, x := range api.Transcript() {
		fmt.Println(x.Method, x.Path, x.Body["grant_type"]+x.Body["token_type_hint"], x.Status)
	}
	// Output:
	// POST /oauth2/token client_credentials 200
	// GET /accounts  200
	// POST /oauth2/revoke refresh_token 204
	// POST /oauth2/revoke access_token 204
}
