// Package scrub takes secrets out of what comes back from a server or a transport.
//
// It works on texts: one JSON string, one header value or one line. Where a text shows a secret as
// it is, the secret is replaced. Where it shows one only after its escapes are undone, the whole
// text is replaced.
package scrub

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted stands for what has been taken out.
const Redacted = "[redacted]"

// long is how many bytes a secret has to have to be recognized inside of a word. A shorter one must
// stand alone: what looks like it is more likely a part of something else.
const long = 8

// A Scrubber replaces the secrets that it knows. The zero Scrubber knows none and is ready to use.
// Methods other than Know can be called from several goroutines at a time, none while Know runs.
type Scrubber struct{ secrets []string }

// Know adds a secret and its base64. The empty string is no secret.
func (s *Scrubber) Know(secret string) {
	s.know(secret)
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		// Shorter base64 could be a word that means something else.
		if encoded := encoding.EncodeToString([]byte(secret)); len(encoded) >= long {
			s.know(encoded)
		}
	}
}

func (s *Scrubber) know(secret string) {
	// A secret "redacted" cannot be told from what replaces it, and is hidden by that.
	hidden := len(secret) >= long && strings.Contains(Redacted, secret)
	if secret != "" && !hidden && !slices.Contains(s.secrets, secret) {
		s.secrets = append(s.secrets, secret)
	}
}

// Text returns a text without secrets: a JSON string, a header value or a line. A text that shows a
// secret only when its escapes are undone is replaced as a whole. Scrubbing a text again changes
// nothing.
func (s *Scrubber) Text(t string) string {
	t = s.replace(t)
	if slices.ContainsFunc(readings(t), s.shows) {
		return Redacted
	}
	return t
}

// replace replaces the secrets that t shows as they are. Secrets that overlap are replaced
// together, so that no part of one is left.
func (s *Scrubber) replace(t string) string {
	var hide []bool // by byte of t
	for _, secret := range s.secrets {
		hidden := 0 // up to here, as far as this secret goes
		for i := find(t, secret, 0); i >= 0; i = find(t, secret, i+1) {
			if hide == nil {
				hide = make([]bool, len(t))
			}
			for j := max(i, hidden); j < i+len(secret); j++ {
				hide[j] = true
			}
			hidden = i + len(secret)
		}
	}
	if hide == nil {
		return t
	}
	var b strings.Builder
	for i := range len(t) {
		switch {
		case !hide[i]:
			b.WriteByte(t[i])
		case i == 0 || !hide[i-1]:
			b.WriteString(Redacted)
		}
	}
	if s.shows(b.String()) { // a secret that begins like the end of Redacted
		return Redacted
	}
	return b.String()
}

// shows reports whether t shows a secret. "+" and the space are one, since a URL may write either
// for the other.
func (s *Scrubber) shows(t string) bool {
	fold := func(t string) string { return strings.ReplaceAll(t, "+", " ") }
	t = fold(t)
	return slices.ContainsFunc(s.secrets, func(secret string) bool { return find(t, fold(secret), 0) >= 0 })
}

// find returns where t next shows secret, at from or later; -1 if it does not.
func find(t, secret string, from int) int {
	for {
		i := strings.Index(t[from:], secret)
		if i < 0 {
			return -1
		}
		from += i
		if len(secret) >= long || standsAlone(t[:from], t[from+len(secret):]) {
			return from
		}
		from++
	}
}

// standsAlone reports whether neither neighbor continues the word between them.
func standsAlone(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(after)
	return !inWord(last) && !inWord(first)
}

func inWord(r rune) bool {
	return r == '_' || unicode.In(r, unicode.Letter, unicode.Number, unicode.Mark)
}
