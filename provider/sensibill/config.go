package sensibill

import (
	"cmp"
	"strings"

	"github.com/tokencache/tokencache"
)

// SandboxURL is the only environment that Sensibill's published documents name.
const SandboxURL = "https://receipts-sandbox.sensibill.io/api/v1"

// Options are where Sensibill is and how users log in there, without any secret.
type Options struct {
	BaseURL        string // of the API; default: [SandboxURL]
	RedirectURI    string // as registered; users' tokens need one, although nothing is ever sent there
	CredentialType string // of the users' credentials; default: "sensibill"
	Redirect       bool   // the first step answers with a redirect, which is read but not followed; default: with JSON
}

// Config returns the configuration of a cache for Sensibill. It may be changed before it is handed to [tokencache.New].
func Config(o Options, clientKey, clientSecret string) tokencache.Config {
	return tokencache.Config{
		TokenURL: o.url(StepAccessToken), RevokeURL: o.url("invalidate"), ClientID: clientKey,
		Auth: tokencache.ClientSecretBasicRaw(clientSecret), Dialect: Dialect(o),
	}
}

func (o Options) url(endpoint string) string {
	return strings.TrimSuffix(cmp.Or(o.BaseURL, SandboxURL), "/") + "/" + endpoint
}

func (o Options) credentialType() string { return cmp.Or(o.CredentialType, "sensibill") }
