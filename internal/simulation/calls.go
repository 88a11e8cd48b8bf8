package simulation

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// call does what one caller does in a step.
func (w *world) call(s step) {
	ctx, cancel := context.WithCancel(context.Background())
	switch {
	case s.limit > 0 && s.cancel:
		w.faults.Add(1)
		timer := time.AfterFunc(s.limit, cancel)
		defer timer.Stop()
	case s.limit > 0:
		ctx, cancel = context.WithTimeout(ctx, s.limit)
	}
	defer cancel()
	began := time.Now()
	err := w.act(ctx, s)
	w.judge.returned(s, began, err)
}

func (w *world) act(ctx context.Context, s step) error {
	src := w.source(s.key)
	if w.bug.forgets {
		_ = src.Reset(ctx)
	}
	switch s.what {
	case "token":
		tok, err := w.token(ctx, s.key, src)
		if err == nil {
			w.judge.used(scopeOf(s.key), tok.AccessToken)
			w.mu.Lock()
			w.latest[s.key] = tok
			w.mu.Unlock()
		}
		return err
	case "GET", "POST", "POST once":
		return w.request(ctx, s, src)
	case "Rejected":
		w.mu.Lock()
		tok := w.latest[s.key]
		w.mu.Unlock()
		if tok != nil {
			next, err := src.Rejected(ctx, tok, "https://api.example.com/operation")
			if err == nil && next.AccessToken != tok.AccessToken {
				w.judge.replaced(tok.AccessToken)
			}
			return err
		}
	case "Revoke":
		return w.revoke(ctx, s.key, src)
	case "Reset":
		w.judge.reset(s.key)
		defer w.judge.refilled(s.key)
		return src.Reset(ctx)
	case "log in again":
		if w.history.keys[s.key].kind == kindSession {
			w.logIn(s.key)
		}
	case "Shutdown":
		w.faults.Add(1)
		return w.shutdown(s)
	}
	return nil
}

func (w *world) token(ctx context.Context, key int, src *tokencache.Source) (*oauth2.Token, error) {
	if w.bug.token != nil {
		return w.bug.token(ctx, w, key, src)
	}
	return src.TokenContext(ctx)
}

// request sends a request to the API. The body of a "POST once" cannot be sent a second time.
func (w *world) request(ctx context.Context, s step, src *tokencache.Source) error {
	number := strconv.FormatInt(w.serial.Add(1), 10)
	var body io.Reader
	text := ""
	if s.what != "GET" {
		text = "body of " + number
		body = strings.NewReader(text)
	}
	if s.what == "POST once" {
		body = io.MultiReader(body) // net/http sets no GetBody for it
	}
	method, _, _ := strings.Cut(s.what, " ")
	req, err := http.NewRequestWithContext(ctx, method, w.srv.URL+s.path, body)
	if err != nil {
		return err
	}
	req.Header.Set("X-Key", scopeOf(s.key))
	req.Header.Set("X-Number", number)
	req.Header.Set("X-Body", text)
	base := wrap(w.bug.api, &apiWire{w.network, w.judge})
	client := &http.Client{Transport: &tokencache.Transport{Source: src, Base: base}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (w *world) revoke(ctx context.Context, key int, src *tokencache.Source) error {
	began := time.Now()
	err := src.Revoke(ctx)
	w.judge.revoked(scopeOf(key), began, err)
	return err
}

func (w *world) shutdown(s step) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	w.judge.closing()
	began := time.Now()
	err := w.cache.Shutdown(ctx)
	if took := time.Since(began); took > s.limit {
		w.judge.report(withinDeadline, "Shutdown with %v took %v", s.limit, took)
	}
	w.judge.shutDown(err)
	return err
}
