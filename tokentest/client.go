package tokentest

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// maxForm is the maximum size of the body of a token or revocation request.
const maxForm = 1 << 20

// refuse returns an error response (RFC 6749 section 5.2).
func refuse(status int, code, description string) *answer {
	a := &answer{
		status: status,
		header: http.Header{"Cache-Control": {"no-store"}},
		body:   marshal(map[string]string{"error": code, "error_description": description}),
	}
	if status == http.StatusUnauthorized {
		a.header.Set("WWW-Authenticate", `Basic realm="tokentest"`)
	}
	return a
}

// readForm reads the parameters of a token or revocation request. It returns what it could read
// even if the request must be refused.
func readForm(r *http.Request) (body []byte, form url.Values, refusal *answer) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm))
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone away
	}
	if r.Method != http.MethodPost {
		a := refuse(http.StatusMethodNotAllowed, "invalid_request", "the method is not POST")
		a.header.Set("Allow", http.MethodPost)
		return body, nil, a
	}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch mediaType {
	case "application/x-www-form-urlencoded":
		form, err = url.ParseQuery(string(body))
	case "application/json":
		form, err = parseJSON(body)
	default:
		err = fmt.Errorf("the media type %q is neither form nor JSON", mediaType)
	}
	if err != nil {
		return body, form, refuse(http.StatusBadRequest, "invalid_request", err.Error())
	}
	for name, values := range form {
		// RFC 6749 section 3.2 forbids repetition. RFC 8707 and RFC 8693 make exceptions.
		if len(values) > 1 && name != "resource" && name != "audience" {
			return body, form, refuse(http.StatusBadRequest, "invalid_request", "repeated parameter "+name)
		}
	}
	return body, form, nil
}

// parseJSON returns a flat JSON object as a form.
func parseJSON(body []byte) (url.Values, error) {
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	form := make(url.Values)
	for name, value := range fields {
		form.Set(name, fmt.Sprint(value))
	}
	return form, nil
}

// presentedID returns the client ID of a request, which may not be authenticated.
func presentedID(r *http.Request, form url.Values) string {
	user, _, ok := r.BasicAuth()
	if !ok {
		return form.Get("client_id")
	}
	if id, err := url.QueryUnescape(user); err == nil {
		return id
	}
	return user
}

// authenticate checks the client authentication (RFC 6749 section 2.3).
func authenticate(b *Behavior, r *http.Request, form url.Values) *answer {
	user, password, basic := r.BasicAuth()
	post := form.Has("client_secret")
	if basic && post {
		return refuse(http.StatusBadRequest, "invalid_request", "more than one client authentication")
	}
	if authenticated(b, user, password, basic, post, form) {
		return nil
	}
	return refuse(http.StatusUnauthorized, "invalid_client", "client authentication failed")
}

// authenticated reports whether the credentials are those of the client, in the form that b
// requires.
func authenticated(b *Behavior, user, password string, basic, post bool, form url.Values) bool {
	decodedUser, err1 := url.QueryUnescape(user)
	decodedPassword, err2 := url.QueryUnescape(password)
	encoded := basic && err1 == nil && err2 == nil && decodedUser == b.ClientID && decodedPassword == b.ClientSecret
	raw := basic && user == b.ClientID && password == b.ClientSecret
	inBody := post && form.Get("client_id") == b.ClientID && form.Get("client_secret") == b.ClientSecret
	switch b.ClientAuth {
	case "":
		return encoded || raw || inBody
	case "client_secret_basic":
		return encoded
	case "client_secret_basic_raw":
		return raw
	case "client_secret_post":
		return inBody
	case "none":
		return !basic && !post && form.Get("client_id") == b.ClientID
	}
	panic("tokentest: unknown Behavior.ClientAuth " + b.ClientAuth)
}
