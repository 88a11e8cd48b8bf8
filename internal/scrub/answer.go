package scrub

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

const (
	keep = 8 << 10  // how much of a body is kept, in bytes
	look = 2 * keep // how much of it is scrubbed for that: a secret is recognized only if it is not cut
)

// Body returns what can be kept of an answer, at most 8 KiB: without secrets, and without the
// values of fields that hold credentials by their names. JSON is scrubbed string by string,
// anything else line by line.
func (s *Scrubber) Body(body []byte) []byte {
	text := string(body)
	if json.Valid(bytes.TrimPrefix(body, []byte("\ufeff"))) {
		text = s.json(text)
	} else {
		text = s.lines(text, look, s.value)
	}
	return []byte(text[:min(len(text), keep)])
}

// Header returns what can be kept of an answer's header: no cookies, and every value as Body has it.
func (s *Scrubber) Header(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if http.CanonicalHeaderKey(name) == "Set-Cookie" {
			continue
		}
		for _, v := range values {
			out[name] = append(out[name], s.value(v))
		}
	}
	return out
}

// Line returns t as a part of a line of a log: without secrets and control characters, and cut to
// most bytes. What is cut ends in "...".
func (s *Scrubber) Line(t string, most int) string {
	line := strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, s.Text(t))
	line = s.Text(line) // the spaces may have made a secret
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "..."
	}
	return line
}

// Err returns err as it is if its text shows no secret. Otherwise the error that it returns has the
// scrubbed text, line by line, and is what err is according to errors.Is; it does not unwrap.
func (s *Scrubber) Err(err error) error {
	if err == nil {
		return nil
	}
	if text := s.lines(err.Error(), math.MaxInt, s.Text); text != err.Error() {
		return &scrubbed{text, func(target error) bool { return errors.Is(err, target) }}
	}
	return err
}

// scrubbed keeps its original where no formatting finds it.
type scrubbed struct {
	text string
	is   func(target error) bool
}

func (e *scrubbed) Error() string        { return e.text }
func (e *scrubbed) Is(target error) bool { return e.is(target) }

// lines scrubs each line by itself until there are enough bytes. If a secret can go from one line
// to the next, the text counts as one line.
func (s *Scrubber) lines(t string, enough int, scrub func(string) string) string {
	if slices.ContainsFunc(s.secrets, func(secret string) bool { return strings.Contains(secret, "\n") }) {
		return scrub(t)
	}
	var b strings.Builder
	for more := true; more && b.Len() < enough; {
		var line string
		line, t, more = strings.Cut(t, "\n")
		b.WriteString(scrub(line))
		if more {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// value scrubs a text of an answer, in which names tell of credentials that nobody knows yet.
func (s *Scrubber) value(t string) string {
	t = s.Text(t)
	if hidden := hideNamed(t); hidden != t {
		return s.Text(hidden)
	}
	return t
}

// json scrubs the strings of a JSON value, names included, until there are enough bytes. What it
// does not change stays as it is written.
func (s *Scrubber) json(t string) string {
	var b strings.Builder
	field := ""
	for b.Len() < look {
		between, rest, more := strings.Cut(t, `"`)
		b.WriteString(between)
		if !more {
			break
		}
		end := 0
		for ; rest[end] != '"'; end++ {
			if rest[end] == '\\' {
				end++
			}
		}
		text := unescapeProgram(rest[:end])
		clean := s.value(text)
		if strings.TrimSpace(between) == ":" && isField(field) {
			clean = Redacted
		}
		if clean == text {
			b.WriteString(`"` + rest[:end+1])
		} else {
			quoted, _ := json.Marshal(clean)
			b.Write(quoted)
		}
		field, t = text, rest[end+1:]
	}
	return s.replace(b.String()) // a number, or a secret with quotes in it
}
