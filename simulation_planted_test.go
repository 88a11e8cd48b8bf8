package tokencache_test

import (
	"context"
	"net/http"
	"time"

	"github.com/tokencache/tokencache"
	"golang.org/x/oauth2"
)

// A plant is a bug that is planted between the library and what it uses or serves. The zero plant is none.
type plant struct {
	name, breaks string
	client, api  func(http.RoundTripper) http.RoundTripper
	config       func(*tokencache.Config)
	wall         func(*steppedClock) func() time.Time
	token        func(context.Context, *tokencache.Source) (*oauth2.Token, error)
	grant        func(k keyPlan, scope string) tokencache.Grant
}

func (plant) wrap(with func(http.RoundTripper) http.RoundTripper, base http.RoundTripper) http.RoundTripper {
	if with == nil {
		return base
	}
	return with(base)
}
