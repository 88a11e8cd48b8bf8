package scrub

import (
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// nesting is how many escapes around each other are undone: those of a URL in a page in a JSON
// string are three.
const nesting = 3

// readings are t and what it says to readers that undo escapes: those of URLs, of program text and
// JSON, of HTML, and those inside of each other.
func readings(t string) []string {
	all := []string{t}
	for range nesting {
		for _, r := range all {
			for _, undo := range []func(string) string{unescapeURL, unescapeProgram, html.UnescapeString} {
				if plain := undo(r); !slices.Contains(all, plain) {
					all = append(all, plain)
				}
			}
		}
	}
	return all
}

func unescapeURL(t string) string { return unescape(t, '%', appendPercent) }

func unescapeProgram(t string) string { return unescape(t, '\\', appendBackslash) }

// unescape undoes the escapes that begin with mark. read appends the character that its text begins
// with, and returns how long its escape is; what is no escape stays as it is.
func unescape(t string, mark byte, read func(out []byte, t string) ([]byte, int)) string {
	i := strings.IndexByte(t, mark)
	if i < 0 {
		return t
	}
	out := make([]byte, 0, len(t))
	for ; i >= 0; i = strings.IndexByte(t, mark) {
		var width int
		out, width = read(append(out, t[:i]...), t[i:])
		t = t[i+width:]
	}
	return string(append(out, t...))
}

func appendPercent(out []byte, t string) ([]byte, int) {
	if c, ok := number(t, 1, 3); ok {
		return append(out, byte(c)), 3
	}
	return append(out, '%'), 1
}

func appendBackslash(out []byte, t string) ([]byte, int) {
	if len(t) < 2 {
		return append(out, '\\'), 1
	}
	end := 2
	switch t[1] {
	case 'x':
		end = 4
	case 'u':
		end = 6
	case 'U':
		end = 10
	default:
		if i := strings.IndexByte("abfnrtv", t[1]); i >= 0 {
			return append(out, "\a\b\f\n\r\t\v"[i]), 2
		}
		return append(out, t[1]), 2
	}
	r, ok := number(t, 2, end)
	if !ok {
		return append(out, '\\'), 1
	}
	if t[1] == 'x' {
		return append(out, byte(r)), end
	}
	if utf16.IsSurrogate(r) && strings.HasPrefix(t[end:], `\u`) {
		if low, ok := number(t, end+2, end+6); ok && utf16.DecodeRune(r, low) != unicode.ReplacementChar {
			return utf8.AppendRune(out, utf16.DecodeRune(r, low)), end + 6
		}
	}
	return utf8.AppendRune(out, r), end
}

// number reads the hexadecimal number t[from:to].
func number(t string, from, to int) (rune, bool) {
	if len(t) < to {
		return 0, false
	}
	n, err := strconv.ParseUint(t[from:to], 16, 32)
	return rune(n), err == nil
}
