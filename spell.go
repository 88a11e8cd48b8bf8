package tokencache

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
)

// escapes are the characters with which an escaped character begins: in URLs, in JSON and program text, in HTML.
var escapes = [...]string{"%+", `\`, "&"}

// spells returns how much of t's beginning spells secret, as it is or escaped in one of the ways of escapes; 0 if it
// does not. Which characters are escaped makes no difference, since encoders disagree about that.
func spells(t, secret string) int {
	if strings.HasPrefix(t, secret) {
		return len(secret)
	}
	for _, kind := range escapes {
		if n := spellsEscaped(t, secret, kind); n > 0 {
			return n
		}
	}
	return 0
}

func spellsEscaped(t, secret, kind string) int {
	n := 0
	for secret != "" {
		char, width := unescape(t[n:], kind)
		switch {
		case width > 0 && strings.HasPrefix(secret, char):
		case n < len(t) && t[n] == secret[0]:
			char, width = secret[:1], 1
		default:
			return 0
		}
		n += width
		secret = secret[len(char):]
	}
	return n
}

// unescape returns the character that t begins with in an escaped form, and the form's length; 0 if it does not.
func unescape(t, kind string) (char string, width int) {
	if len(t) == 0 || strings.IndexByte(kind, t[0]) < 0 {
		return "", 0
	}
	switch t[0] {
	case '+':
		return " ", 1
	case '%':
		if c, ok := number(t, 1, 3); ok {
			return string([]byte{byte(c)}), 3
		}
	case '&':
		if end := strings.IndexByte(t[:min(len(t), 12)], ';'); end > 0 {
			if char = html.UnescapeString(t[:end+1]); char != t[:end+1] {
				return char, end + 1
			}
		}
	case '\\':
		return unescapeBackslash(t)
	}
	return "", 0
}

func unescapeBackslash(t string) (char string, width int) {
	if len(t) < 2 {
		return "", 0
	}
	switch t[1] {
	case 'u':
		r, ok := number(t, 2, 6)
		if !ok {
			return "", 0
		}
		if utf16.IsSurrogate(r) && strings.HasPrefix(t[6:], `\u`) {
			if low, ok := number(t, 8, 12); ok {
				return string(utf16.DecodeRune(r, low)), 12
			}
		}
		return string(r), 6
	case 'U':
		if r, ok := number(t, 2, 10); ok {
			return string(r), 10
		}
		return "", 0
	case 'x':
		if c, ok := number(t, 2, 4); ok {
			return string([]byte{byte(c)}), 4
		}
		return "", 0
	}
	if i := strings.IndexByte("abfnrtv", t[1]); i >= 0 {
		return "\a\b\f\n\r\t\v"[i : i+1], 2
	}
	return t[1:2], 2
}

// number reads the hexadecimal number t[from:to].
func number(t string, from, to int) (rune, bool) {
	if len(t) < to {
		return 0, false
	}
	n, err := strconv.ParseUint(t[from:to], 16, 32)
	return rune(n), err == nil
}
