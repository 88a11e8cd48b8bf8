package sensibill

import (
	"cmp"
	"strings"

	"github.com/tokencache/tokencache"
)

// SandboxURL is the base URL of the sandbox, the only environment named in Sensibill's public
// documentation.
const SandboxURL = "https://receipts-sandbox.sensibill.io/api/v1"

// Options says where the Sensibill API is and how users log in. It holds no secrets. RedirectURI is
// required for users' tokens; the zero value of every other field is its default.
type Options struct {
	// BaseURL is the base URL of the API. Default: SandboxURL.
	BaseURL string

	// RedirectURI is the redirect URI registered for the client. Users' logins require it, although
	// nothing is ever sent there. Default: none.
	RedirectURI string

	// CredentialType is the type of the users' credentials. Default: "sensibill".
	CredentialType string

	// Redirect asks for the code in a redirect, which is read but not followed. Default: the code is
	// in a JSON body.
	Redirect bool
}

// Config returns the configuration of a cache for one Sensibill client. The caller may change it
// before passing it to [tokencache.New].
func Config(o Options, clientKey, clientSecret string) tokencache.Config {
	return tokencache.Config{
		TokenURL: o.url(StepAccessToken), RevokeURL: o.url("invalidate"), ClientID: clientKey,
		Auth: tokencache.ClientSecretBasicRaw(clientSecret), Dialect: dialect(o),
	}
}

func (o Options) url(endpoint string) string {
	return strings.TrimSuffix(cmp.Or(o.BaseURL, SandboxURL), "/") + "/" + endpoint
}

func (o Options) credentialType() string { return cmp.Or(o.CredentialType, "sensibill") }
