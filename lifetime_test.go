package tokencache_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// answered is the moment at which the token requests of these tests went out: some day in 2026.
var answered = time.Unix(1_795_320_000, 0)

const (
	tenYears    = 10 * 365 * 24 * time.Hour
	unspecified = time.Duration(0)
)

// Row X: every expires_in has one documented meaning.
func TestLifetime(t *testing.T) {
	now := answered.Unix()
	for _, row := range []struct {
		expiresIn string // as JSON, empty: absent
		want      time.Duration
	}{
		{"", unspecified},
		{"null", unspecified},
		{"true", unspecified},
		{"{}", unspecified},
		{"[3600]", unspecified},
		{`""`, unspecified},
		{`"soon"`, unspecified},
		{`"1h"`, unspecified},
		{`"NaN"`, unspecified},
		{`"Inf"`, unspecified},
		{"0", unspecified},
		{`"0"`, unspecified},
		{"-0.0", unspecified},
		{"-1", unspecified},
		{`"-3600"`, unspecified},
		{"1", time.Second},
		{"3600", time.Hour},
		{"3600.0", time.Hour},
		{"3.6e3", time.Hour},
		{`"3600"`, time.Hour},
		{`" 3600 "`, time.Hour},
		{`"3599.5"`, 3599*time.Second + 500*time.Millisecond},
		{"0.25", 250 * time.Millisecond},
		{"1e-12", time.Nanosecond},
		{"315360000", tenYears},
		{"315360001", unspecified},
		{"1576797207", unspecified}, // fifty years; or a day in 2019
		{"1e12", unspecified},
		{"1e400", unspecified},
		{`"1e400"`, unspecified},
		{"-1e400", unspecified},
		{"123456789012345678901234567890", unspecified},
		{fmt.Sprint(now + 900), 900 * time.Second},
		{strconv.Quote(fmt.Sprint(now + 900)), 900 * time.Second},
		{fmt.Sprintf("%d.0", now+900), 900 * time.Second},
		{fmt.Sprint(now + 1), time.Second},
		{fmt.Sprint(now), time.Second},
		{fmt.Sprint(now - 3600), time.Second},
		{fmt.Sprint(now - 86399), time.Second},
		{fmt.Sprint(now - 86400), unspecified},
		{fmt.Sprint(now + int64(tenYears/time.Second) - 1), tenYears - time.Second},
		{fmt.Sprint(now + int64(tenYears/time.Second)), unspecified},
		{fmt.Sprint((now + 900) * 1000), unspecified}, // milliseconds
	} {
		t.Run(row.expiresIn, func(t *testing.T) {
			fields := map[string]any{}
			if row.expiresIn != "" {
				fields["expires_in"] = decoded(t, row.expiresIn)
			}
			if got := tokencache.Lifetime(fields, answered); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
			body := `{"access_token":"a"}`
			if row.expiresIn != "" {
				body = `{"access_token":"a","expires_in":` + row.expiresIn + `}`
			}
			if _, err := (fixedAnswer{status: 200, body: body}).asks(t, grantParams("client_credentials"), nil); err != nil {
				t.Errorf("the token was refused: %v", err)
			}
		})
	}
}

// decoded reads JSON as the library does.
func decoded(t *testing.T, text string) any {
	t.Helper()
	if _, err := strconv.ParseFloat(text, 64); err == nil || text == "1e400" || text == "-1e400" {
		return json.Number(text)
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLifetimeCountsFromTheRequest(t *testing.T) {
	inBubble(t, tokentest.Behaviour{TokenLatency: 10 * time.Second}, nil, func(w *world) {
		begin := time.Now()
		tok, err := w.cache.ClientCredentials().Token()
		if err != nil || tok.Expiry.Sub(begin) != time.Hour || tok.ExpiresIn != 3600 {
			w.Errorf("token %v, %d: %v", tok.Expiry.Sub(begin), tok.ExpiresIn, err)
		}
	})
}

// The same meanings, seen as the time at which a token is replaced; 0 is never.
func TestTokenLivesAsLongAsTheAnswerSays(t *testing.T) {
	bubbleStart := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for _, row := range []struct {
		expiresIn any
		maxAge    time.Duration
		replaced  time.Duration
	}{
		{3600, 0, time.Hour},
		{"3600", time.Minute, time.Hour},
		{3599.5, 0, 3599500 * time.Millisecond},
		{bubbleStart + 900, 0, 900 * time.Second},
		{fmt.Sprint(bubbleStart + 900), 0, 900 * time.Second},
		{nil, 0, 0},
		{nil, 2 * time.Hour, 2 * time.Hour},
		{0, 0, 0},
		{0, 2 * time.Hour, 2 * time.Hour},
		{-1, 0, 0},
		{1e12, 0, 0},
		{1e12, 2 * time.Hour, 2 * time.Hour},
		{1576797207, time.Hour, time.Hour},
		{true, time.Hour, time.Hour},
		{map[string]any{}, time.Hour, time.Hour},
	} {
		t.Run(fmt.Sprint(row.expiresIn, row.maxAge), func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{Lifetime: -1, ExpiresIn: func(time.Duration) any { return row.expiresIn }},
				func(cfg *tokencache.Config) { cfg.MaxAge, cfg.RenewalWindow = row.maxAge, 1 },
				func(w *world) {
					src := w.cache.ClientCredentials()
					w.token(src)
					if row.replaced == 0 {
						time.Sleep(100_000 * time.Hour)
						w.token(src)
						w.wantFetches(1)
						return
					}
					time.Sleep(row.replaced - 2)
					w.token(src)
					w.wantFetches(1)
					time.Sleep(2 * time.Nanosecond)
					w.token(src)
					w.wantFetches(2)
				})
		})
	}
}

func TestDialectReadsTheLifetime(t *testing.T) {
	inBubble(t, tokentest.Behaviour{Lifetime: -1, Extra: map[string]any{"ttl": 60}}, func(cfg *tokencache.Config) {
		cfg.RenewalWindow = 1
		cfg.Dialect.Lifetime = func(fields map[string]any, start time.Time) time.Duration {
			seconds, _ := fields["ttl"].(json.Number).Int64()
			if start.IsZero() {
				return unspecified
			}
			return time.Duration(seconds) * time.Second
		}
	}, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		time.Sleep(time.Minute)
		w.token(src)
		w.wantFetches(2)
	})
}

// Times that lie further away than a time.Duration reaches must not turn into the past.
func TestTokenThatOutlivesTheClock(t *testing.T) {
	for name, expiry := range map[string]time.Time{
		"year 9999": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"292 years": time.Now().Add(math.MaxInt64 - time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			cache, err := tokencache.New(minimal())
			if err != nil {
				t.Fatal(err)
			}
			calls, looks := 0, 0
			tokencache.SetWall(cache, func() time.Time { looks++; return time.Now() })
			src := cache.Source(tokencache.TokenSourceGrant("far", tokenFunc(func() (*oauth2.Token, error) {
				calls++
				return &oauth2.Token{AccessToken: "a", Expiry: expiry}, nil
			})))
			for range 1000 {
				if _, err := src.Token(); err != nil {
					t.Fatal(err)
				}
			}
			if calls != 1 || looks > 500 {
				t.Errorf("%d fetches, %d looks at the wall clock for 1000 tokens", calls, looks)
			}
		})
	}
}

// The same for a Dialect that returns the largest lifetimes there are.
func TestLifetimeBeyondTheClock(t *testing.T) {
	a := fixedAnswer{status: 200, body: `{"access_token":"a"}`}
	tok, err := a.asks(t, url.Values{"grant_type": {"x"}}, func(cfg *tokencache.Config) {
		cfg.Dialect.Lifetime = func(map[string]any, time.Time) time.Duration { return tokencache.NeverExpires - 1 }
	})
	if err != nil || tok.Expiry.Before(time.Now()) {
		t.Errorf("token %v: %v", tok, err)
	}
}

type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }
