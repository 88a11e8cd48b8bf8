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

// dialect returns what Moov does differently from the RFCs. The only option that it uses is JSON.
func dialect(o Options) tokencache.Dialect {
	return tokencache.Dialect{
		JSON: o.JSON,
		// For years the documentation had "opaque"; the official Go client also mentions JWT.
		TokenTypes: []string{"opaque", "jwt"},
		Lifetime:   lifetime,
		Failure:    readFailure,
	}
}

// lifetime reads expires_in, which Moov's own sources describe both as a number of seconds and as a
// Unix timestamp. No plausible value can be both, so the number decides:
//
//   - A positive number of up to ten years is in seconds, counted from start. An example is 900.
//   - A timestamp less than ten years after start is the time of expiry.
//   - For anything else lifetime returns 0: the lifetime is unknown, and Config.MaxAge applies, which
//     [Config] sets to 15 minutes. That includes zero, negative numbers, text, a missing field,
//     numbers such as 1576797207 (fifty years, or a day in 2019), and timestamps in the past: a new
//     token has not expired, so this machine's clock is probably ahead.
//
// Unlike [tokencache.Lifetime], it does not accept a timestamp that has just passed.
func lifetime(fields map[string]any, start time.Time) time.Duration {
	const maxSeconds = 10 * 365 * 24 * 60 * 60 // ten years
	at, err := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(fields["expires_in"])), 64)
	if err == nil && at > maxSeconds && at <= float64(start.Unix()) {
		return 0
	}
	return tokencache.Lifetime(fields, start)
}

// readFailure reads Moov's error bodies: {"error": "text"}, or an object that maps parameters to
// error messages. The latter can have the field names of a token answer.
func readFailure(e *tokencache.Error, header http.Header, body []byte) {
	e.RetryAfter = max(e.RetryAfter, retryIn(header))
	if e.StatusCode == http.StatusNotFound {
		e.Permanent = true
		e.Description = "not found; check the base URL and X-Moov-Version"
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

// codeOf returns the error code of RFC 6749 section 5.2 for the refused parameters.
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

// isCode reports whether text is an error code, such as invalid_request, rather than a sentence.
func isCode(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// messages returns "name: message" for each field of v, sorted by name. Nested names are joined by
// dots.
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

// retryIn reads X-Retry-In, a number of milliseconds, which Moov sent before it sent Retry-After.
func retryIn(header http.Header) time.Duration {
	text := strings.TrimSpace(header.Get("X-Retry-In"))
	if ms, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	d, _ := time.ParseDuration(text)
	return d
}
