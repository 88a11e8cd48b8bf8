package finapi_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

func ExampleConfig() {
	api := finapitest.New(finapitest.Behavior{}) // a real program uses finapi.Options{} instead
	defer api.Close()
	ctx := context.Background()

	options := api.Options()
	cache, err := tokencache.New(finapi.Config(options, "client-id", "client-secret"))
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: &tokencache.Transport{
		Source:  cache.ClientCredentials(),
		Origins: finapi.Origins(options),
	}}
	alice := cache.Password("alice", "wonderland")
	req, err := http.NewRequestWithContext(tokencache.WithSource(ctx, alice), http.MethodGet, api.URL+"/api/v1/users", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	fmt.Println(cache.Shutdown(ctx))
	// Output:
	// 200 OK
	// <nil>
}
