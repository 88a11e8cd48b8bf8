package tokencache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// requestToken sends one token request.
func (c *core) requestToken(ctx context.Context, params url.Values) (*oauth2.Token, error) {
	n := c.notesOf(ctx)
	refresh := ""
	if params.Get("grant_type") == "refresh_token" {
		refresh = params.Get("refresh_token")
	}
	if refresh != "" && n != nil {
		release, err := c.passwords.take(ctx, c.salt.Hash("refresh_token\x00"+refresh))
		if err != nil {
			return nil, err
		}
		defer release()
	}
	if err := c.beforeRequest(n, refresh); err != nil {
		return nil, err
	}
	done, err := c.attemptPassword(ctx, n, params)
	if err != nil {
		return nil, err
	}
	var ans *answer
	returned, sending := false, false
	defer func() {
		if !returned { // user code panicked: what the server has seen counts all the same
			lost := &Error{Op: "token request", reached: true}
			if ans != nil {
				lost.StatusCode = ans.status
			}
			err = lost
			if refresh != "" && sending {
				_, _ = c.afterRefresh(n, refresh, nil, lost)
			}
		}
		done(err)
	}()
	form := cloneValues(c.cfg.Params)
	for name, values := range params {
		form[name] = values
	}
	req, scrub, err := c.newRequest(ctx, c.cfg.TokenURL, form)
	if err != nil {
		returned = true
		return nil, err
	}
	sending = true
	op := operation{name: "token request", grant: params.Get("grant_type"), scrub: scrub}
	ans, err = c.send(ctx, op, req)
	if err == nil && !ans.ok() {
		err = c.failure(op, req.URL, ans)
	}
	var tok *oauth2.Token
	if err == nil {
		tok, err = c.readToken(op, req.URL, ans)
	}
	returned = true
	if err == nil && n != nil {
		n.sent = &ans.sent
	}
	if refresh != "" {
		return c.afterRefresh(n, refresh, tok, err)
	}
	return tok, err
}

// newRequest makes a POST with the client's authentication, and a scrubber that knows every secret in it.
func (c *core) newRequest(ctx context.Context, endpoint string, form url.Values) (*http.Request, *scrubber, error) {
	header, given := http.Header{}, cloneValues(form)
	if err := c.cfg.Auth(ctx, c.cfg.ClientID, header, form); err != nil {
		return nil, nil, fmt.Errorf("tokencache: authenticating the client: %w", err)
	}
	scrub := scrubberFor(header, form, c.addedSecrets(header, given, form)...)
	body, contentType := c.cfg.Dialect.encode(form)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return nil, nil, errors.New("tokencache: the request cannot be made; check the URL in the Config")
	}
	req.Header = header
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	return req, scrub, nil
}
