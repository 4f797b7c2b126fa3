package pattern

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Lines returns the patterns in a file's content: one on each line, without
// the white space around it. Empty lines and those that begin with # are
// passed over. $NAME and ${NAME} are replaced by what getenv returns; $$ is a
// dollar sign.
func Lines(content []byte, getenv func(string) string) ([]string, error) {
	text, err := DecodeText(content)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		lines = append(lines, expand(line, getenv))
	}
	return lines, nil
}

// DecodeText returns content as UTF-8 without a byte order mark. Content that
// begins with the mark of UTF-16 is converted.
func DecodeText(content []byte) (string, error) {
	switch {
	case bytes.HasPrefix(content, []byte{0xef, 0xbb, 0xbf}):
		return string(content[3:]), nil
	case bytes.HasPrefix(content, []byte{0xff, 0xfe}):
		return decodeUTF16(content[2:], 1)
	case bytes.HasPrefix(content, []byte{0xfe, 0xff}):
		return decodeUTF16(content[2:], 0)
	}
	return string(content), nil
}

// decodeUTF16 decodes units whose more significant byte is at position high.
func decodeUTF16(b []byte, high int) (string, error) {
	if len(b)%2 != 0 {
		return "", fmt.Errorf("UTF-16 text of %d bytes: not a whole number of units", len(b))
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i+high])<<8 | uint16(b[2*i+1-high])
	}
	return string(utf16.Decode(units)), nil
}

// expand replaces variables in a line.
func expand(line string, getenv func(string) string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(line, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, braces := variable(rest)
		switch {
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			line = rest[1:]
		case name == "" && !braces:
			out.WriteByte('$')
			line = rest
		case braces:
			out.WriteString(getenv(name))
			line = rest[len(name)+2:]
		default:
			out.WriteString(getenv(name))
			line = rest[len(name):]
		}
	}
}

// variable returns the name that s, the text behind a dollar sign, begins
// with, and whether it is in braces.
func variable(s string) (name string, braces bool) {
	if strings.HasPrefix(s, "{") {
		if end := strings.IndexByte(s, '}'); end > 0 {
			return s[1:end], true
		}
		return "", false
	}
	end := 0
	for end < len(s) && (s[end] == '_' || s[end] >= 'a' && s[end] <= 'z' || s[end] >= 'A' && s[end] <= 'Z' || end > 0 && s[end] >= '0' && s[end] <= '9') {
		end++
	}
	return s[:end], false
}
