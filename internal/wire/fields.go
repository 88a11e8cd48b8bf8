package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

var errNotFields = errors.New("the answer is neither a JSON object nor form-encoded")

// Fields reads the fields of a message, a JSON object or a form. The media type decides which of the
// two it is, unless it says that an object is a form. Numbers are of type json.Number. Of the values
// that a form has under one name only the first is read.
func Fields(header http.Header, body []byte) (map[string]any, error) {
	body = trim(body)
	if isForm(header, body) {
		values, err := formValues(body)
		if err != nil {
			return nil, err
		}
		fields := make(map[string]any, len(values))
		for name := range values {
			fields[name] = values.Get(name)
		}
		return fields, nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil || fields == nil {
		return nil, errNotFields
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotFields
	}
	return fields, nil
}

func trim(body []byte) []byte { return bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff"))) }

func isForm(header http.Header, body []byte) bool {
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return (media == "application/x-www-form-urlencoded" || media == "text/plain") && !bytes.HasPrefix(body, []byte("{"))
}

func formValues(body []byte) (url.Values, error) {
	// A proxy's error page is not a form, whatever its media type says.
	if !bytes.ContainsRune(body, '=') || bytes.ContainsAny(body, " \t\r\n<") {
		return nil, errNotFields
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errNotFields
	}
	return values, nil
}

// Params returns the parameters in a request's query and in its body, if GetBody returns that.
func Params(req *http.Request) url.Values {
	params := req.URL.Query()
	if req.GetBody == nil {
		return params
	}
	body, err := req.GetBody()
	if err != nil {
		return params
	}
	defer body.Close()
	text, _ := io.ReadAll(io.LimitReader(body, answerSize))
	if text = trim(text); isForm(req.Header, text) {
		values, _ := formValues(text)
		for name := range values {
			params[name] = append(params[name], values[name]...)
		}
		return params
	}
	fields, _ := Fields(req.Header, text)
	for name, v := range fields {
		if s, ok := v.(string); ok {
			params.Add(name, s)
		}
	}
	return params
}

// RetryAfter reads Retry-After (RFC 9110 section 10.2.3), in seconds or as a date. It returns 0 if
// there is none that can be read, and the largest value for a number that is too large.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
