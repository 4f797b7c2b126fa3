package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// isPlain tells the bytes that stand for themselves in a JSON string as restic
// writes it, and in a quoted name, from those that need a closer look. HTML
// characters are escaped, because Go's encoder does so unless told otherwise.
func isPlain(c byte) bool {
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

func plainPrefix(s string) int {
	for i := range len(s) {
		if !isPlain(s[i]) {
			return i
		}
	}
	return len(s)
}

// appendString appends s as a JSON string, as Go's encoder writes it.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		n := plainPrefix(s)
		b = append(b, s[:n]...)
		if s = s[n:]; s == "" {
			return append(b, '"')
		}
		if s[0] < utf8.RuneSelf {
			b = appendEscaped(b, s[0])
			s = s[1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			b = append(b, `\u202`...)
			b = append(b, hexDigits[r&0xf])
		default:
			b = append(b, s[:size]...)
		}
		s = s[size:]
	}
}

// appendEscaped appends an ASCII character within a JSON string.
func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	if c < 0x20 || c == '<' || c == '>' || c == '&' {
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
	return append(b, c)
}

// appendName appends a name as it stands between the quotes of a JSON string.
// Names are encoded twice, since JSON can't hold arbitrary bytes: quoted as a
// Go string literal without its quotes, and that as JSON. Every backslash of
// the first step becomes two.
func appendName(b []byte, name string) []byte {
	for {
		n := plainPrefix(name)
		b = append(b, name[:n]...)
		if name = name[n:]; name == "" {
			return b
		}
		r, size := utf8.DecodeRuneInString(name)
		switch {
		case r == utf8.RuneError && size == 1:
			b = appendHexByte(b, name[0])
		case r == '"':
			b = append(b, `\\\"`...)
		case r == '\\':
			b = append(b, `\\\\`...)
		case r == '<' || r == '>' || r == '&':
			b = appendEscaped(b, byte(r))
		case strconv.IsPrint(r): // not U+2028 and U+2029, so JSON has no more to escape
			b = append(b, name[:size]...)
		default:
			b = appendUnprintable(b, r)
		}
		name = name[size:]
	}
}

func appendHexByte(b []byte, c byte) []byte {
	return append(b, '\\', '\\', 'x', hexDigits[c>>4], hexDigits[c&0xf])
}

func appendUnprintable(b []byte, r rune) []byte {
	if r >= '\a' && r <= '\r' {
		return append(b, '\\', '\\', "abtnvfr"[r-'\a'])
	}
	digits := 4
	switch {
	case r < utf8.RuneSelf:
		return appendHexByte(b, byte(r))
	case r < 0x10000:
		b = append(b, `\\u`...)
	default:
		b = append(b, `\\U`...)
		digits = 8
	}
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, hexDigits[r>>shift&0xf])
	}
	return b
}

// appendRaw appends JSON that was stored verbatim, in the form that Go's
// encoder gives it: without white space between tokens, and with HTML
// characters escaped. Nil is null.
func appendRaw(b []byte, raw json.RawMessage) ([]byte, error) {
	if raw == nil {
		return append(b, "null"...), nil
	}
	if err := checkRaw(append(append(b, raw...), ' ')[len(b):]); err != nil {
		return nil, err
	}
	inString := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case !inString && isSpace(c):
		case c == '\\': // in a string; the next byte is no quote that ends it
			b = append(b, c, raw[i+1])
			i++
		case c == '<' || c == '>' || c == '&':
			b = appendEscaped(b, c)
		case c == 0xe2 && i+2 < len(raw) && raw[i+1] == 0x80 && raw[i+2]&^1 == 0xa8: // U+2028, U+2029
			b = append(b, `\u202`...)
			b = append(b, hexDigits[raw[i+2]&0xf])
			i += 2
		default:
			inString = inString != (c == '"')
			b = append(b, c)
		}
	}
	return b, nil
}

// checkRaw makes sure that there is one JSON value, with white space behind.
func checkRaw(raw []byte) error {
	s := scanner{buf: raw}
	if err := s.skipValue(); err != nil {
		return fmt.Errorf("invalid JSON: %w", err)
	}
	if s.skipSpace(); s.pos < len(raw) {
		return errors.New("invalid JSON: more than one value")
	}
	return nil
}
