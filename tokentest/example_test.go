package tokentest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// A balanceService is the code under test: it fetches a token and calls an API.
type balanceService struct {
	http             *http.Client
	tokenURL, apiURL string
}

// Balance returns the status of the API's answer.
func (s *balanceService) Balance(account string) (string, error) {
	form := url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {"client"},
		"client_secret": {"secret"},
	}
	resp, err := s.http.PostForm(s.tokenURL, form)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("token endpoint: %s", resp.Status)
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil {
		return "", err
	}
	req, err := http.NewRequest("GET", s.apiURL+"/accounts/"+account, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	resp, err = s.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Status, nil
}

func Example() {
	server := tokentest.New(tokentest.Behavior{
		Lifetime: 5 * time.Minute,
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/accounts/") {
				http.NotFound(w, r)
			}
		}),
	})
	defer server.Close()
	service := &balanceService{http: server.Client(), tokenURL: server.TokenURL(), apiURL: server.URL}

	fmt.Println(service.Balance("4711"))

	server.Fail("token", 1, tokentest.Fault{Status: http.StatusServiceUnavailable})
	fmt.Println(service.Balance("4711"))

	for _, r := range server.Requests() {
		fmt.Println(r.Method, r.Path, r.Subject, r.Status)
	}
	fmt.Println("live tokens:", len(server.Live()))
	// Output:
	// 200 OK <nil>
	//  token endpoint: 503 Service Unavailable
	// POST /token client 200
	// GET /accounts/4711 client 200
	// POST /token client 503
	// live tokens: 1
}
