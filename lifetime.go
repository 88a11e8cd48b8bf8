package tokencache

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// NeverExpires is the lifetime of a token without an end, for [Dialect.Lifetime].
const NeverExpires time.Duration = math.MaxInt64

// lifetimeMost is the longest lifetime that is believed.
const lifetimeMost = 10 * 365 * 24 * time.Hour

// Lifetime reads expires_in (RFC 6749 section 5.1) as servers really send it, and returns 0 when it does not say how
// long the token lives: then [Config.MaxAge] applies.
//
//   - A number above 0, in a string or not, with a fraction or not, is that many seconds from start, up to ten years of
//     365 days.
//   - A larger number that, read as a Unix timestamp, lies less than a day before start or less than ten years after it
//     is that time: some servers send the end instead of the lifetime. The result is then at least a second.
//   - Any other number, 0 and negative ones included, and anything that is no number do not say how long. So a server
//     whose 0 means "never" gets that by default, and one whose 0 means "expired" is found out by the API's 401.
func Lifetime(fields map[string]any, start time.Time) time.Duration {
	return readLifetime(fields["expires_in"], start)
}

func readLifetime(v any, start time.Time) time.Duration {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = string(v)
	case string:
		text = strings.TrimSpace(v)
	default:
		return 0
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 {
		return 0
	}
	const day = 24 * 60 * 60
	if left := seconds - float64(start.Unix()); left > -day && left < lifetimeMost.Seconds() && seconds > lifetimeMost.Seconds() {
		return max(time.Duration(left)*time.Second, time.Second)
	}
	if seconds > lifetimeMost.Seconds() {
		return 0
	}
	return max(time.Duration(seconds*float64(time.Second)), 1)
}

// parseRetryAfter reads Retry-After (RFC 9110 section 10.2.3), in seconds or as a date; 0 if there is none. A number that
// is too large is the largest there is.
func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// encodeJSON renders parameters as one JSON object; a parameter with several values becomes an array.
func encodeJSON(params map[string][]string) string {
	object := make(map[string]any, len(params))
	for name, values := range params {
		if len(values) == 1 {
			object[name] = values[0]
		} else {
			object[name] = values
		}
	}
	body, _ := json.Marshal(object) // strings always encode
	return string(body)
}
