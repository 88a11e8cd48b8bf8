package moov

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokencache/tokencache"
)

// Dialect is what Moov does differently from the RFCs. It is part of [Config]; of the options only JSON matters to it.
func Dialect(o Options) tokencache.Dialect {
	return tokencache.Dialect{
		JSON: o.JSON,
		// The documentation had "opaque" for years, the official Go client also speaks of JWT.
		TokenTypes: []string{"opaque", "jwt"},
		Lifetime:   Lifetime,
		Failure:    readFailure,
	}
}

// Lifetime reads expires_in, which Moov's official sources describe both as a number of seconds and as a Unix timestamp.
// No value can mean both, so the number decides:
//
//   - up to ten years it is seconds from start: 900;
//   - a moment within ten years after start is that moment: 1736964352, on the day before;
//   - everything else does not say how long the token lives: a moment that has passed, since a new token has not expired
//     and it is more likely that this machine's clock is ahead; 1576797207, which is fifty years or a day in 2019; zero,
//     negative numbers, text, nothing at all. Then Config.MaxAge applies, which [Config] sets to 15 minutes.
//
// It differs from [tokencache.Lifetime] only in a moment that has just passed.
func Lifetime(fields map[string]any, start time.Time) time.Duration {
	const secondsMost = 10 * 365 * 24 * 60 * 60
	at, err := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(fields["expires_in"])), 64)
	if err == nil && at > secondsMost && at <= float64(start.Unix()) {
		return 0
	}
	return tokencache.Lifetime(fields, start)
}

// readFailure reads Moov's error bodies: {"error": "text"}, and maps from a parameter to what is wrong with it, whose
// names are those of an answer with a token.
func readFailure(e *tokencache.Error, header http.Header, body []byte) {
	e.RetryAfter = max(e.RetryAfter, retryIn(header))
	if e.StatusCode == http.StatusNotFound {
		e.Permanent = true
		e.Description = "nothing is there for this URL and X-Moov-Version"
	}
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil || len(fields) == 0 {
		return
	}
	if text, isText := fields["error"].(string); isText {
		if !isCode(text) {
			e.Code, e.Description = "", text
		}
		return
	}
	e.Description = strings.Join(messages("", fields), "; ")
	if e.StatusCode == http.StatusUnprocessableEntity {
		e.Code = codeOf(e, fields)
	}
}

// codeOf says in the words of RFC 6749 section 5.2 which parameter was refused.
func codeOf(e *tokencache.Error, fields map[string]any) string {
	has := func(name string) bool { _, ok := fields[name]; return ok }
	switch {
	case e.Grant == "refresh_token" && has("refresh_token"):
		return "invalid_grant"
	case has("scope"):
		return "invalid_scope"
	}
	return "invalid_request"
}

// isCode tells a code, such as invalid_request, from a sentence.
func isCode(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// messages lists what is said of each field, in the order of their names.
func messages(path string, v any) []string {
	fields, isObject := v.(map[string]any)
	if !isObject {
		return []string{fmt.Sprintf("%s: %v", path, v)}
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		list = append(list, messages(strings.TrimPrefix(path+"."+name, "."), fields[name])...)
	}
	return list
}

// retryIn reads X-Retry-In, a number of milliseconds that Moov sent before it sent Retry-After.
func retryIn(header http.Header) time.Duration {
	text := strings.TrimSpace(header.Get("X-Retry-In"))
	if ms, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	d, _ := time.ParseDuration(text)
	return d
}
