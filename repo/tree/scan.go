package tree

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/garner-backup/garner/crypto"
)

// maxDepth bounds the nesting of values that are skipped; Go's own decoder
// has the same limit.
const maxDepth = 10000

// errShort means that the buffer ends within a value.
var errShort = errors.New("unexpected end of the data")

// FormatError tells of a tree blob that is not the JSON it should be.
type FormatError struct {
	Offset int64 // in bytes, from the start of the blob
	Err    error
}

func (e *FormatError) Error() string { return fmt.Sprintf("tree at byte %d: %v", e.Offset, e.Err) }

// Unwrap returns what is wrong; [io.ErrUnexpectedEOF] if the blob is cut off.
func (e *FormatError) Unwrap() error { return e.Err }

// scanner takes JSON apart. All its methods leave pos where they stopped, and
// return errShort where more bytes could make a difference.
type scanner struct {
	buf  []byte
	pos  int
	base int64 // offset of buf in the blob
}

func (s *scanner) errorf(format string, args ...any) error {
	return &FormatError{Offset: s.base + int64(s.pos), Err: fmt.Errorf(format, args...)}
}

// located gives errShort a place.
func (s *scanner) located(err error) error {
	if err != errShort {
		return err
	}
	return &FormatError{Offset: s.base + int64(len(s.buf)), Err: io.ErrUnexpectedEOF}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func (s *scanner) skipSpace() {
	for s.pos < len(s.buf) && isSpace(s.buf[s.pos]) {
		s.pos++
	}
}

// peek returns the next byte that is not white space.
func (s *scanner) peek() (byte, error) {
	if s.pos < len(s.buf) && s.buf[s.pos] > ' ' {
		return s.buf[s.pos], nil
	}
	s.skipSpace()
	if s.pos == len(s.buf) {
		return 0, errShort
	}
	return s.buf[s.pos], nil
}

// expect skips white space and the byte c.
func (s *scanner) expect(c byte) error {
	got, err := s.peek()
	if err != nil {
		return err
	}
	if got != c {
		return s.errorf("%q where %q should be", got, c)
	}
	s.pos++
	return nil
}

// more is called within an object or list, after the first i elements. It
// reports whether another one follows, past the comma; false is past the
// closing byte.
func (s *scanner) more(i int, closing byte) (bool, error) {
	c, err := s.peek()
	if err != nil {
		return false, err
	}
	switch {
	case c == closing:
		s.pos++
		return false, nil
	case i == 0:
		return true, nil
	case c != ',':
		return false, s.errorf("%q where a comma or %q should be", c, closing)
	}
	s.pos++
	return true, nil
}

// null skips a null and reports whether there was one.
func (s *scanner) null() (bool, error) {
	c, err := s.peek()
	if err != nil || c != 'n' {
		return false, err
	}
	return true, s.literal("null")
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		if s.pos == len(s.buf) {
			return errShort
		}
		if s.buf[s.pos] != word[i] {
			return s.errorf("invalid literal: no %s", word)
		}
		s.pos++
	}
	return nil
}

// rawString skips a string and returns what is between its quotes, and
// whether that is plain ASCII without escapes.
func (s *scanner) rawString() (raw []byte, plain bool, err error) {
	c, err := s.peek()
	if err != nil {
		return nil, false, err
	}
	if c != '"' {
		return nil, false, s.errorf("%q where a string should be", c)
	}
	start := s.pos + 1
	i := start + plainLength(s.buf[start:])
	plain = i < len(s.buf) && s.buf[i] == '"'
	for i < len(s.buf) && s.buf[i] != '"' {
		if s.buf[i] < 0x20 {
			s.pos = i
			return nil, false, s.errorf("control character in a string")
		}
		if s.buf[i] == '\\' {
			s.pos = i
			n, err := s.checkEscape()
			if err != nil {
				return nil, false, err
			}
			i += n
			continue
		}
		i++
	}
	if i >= len(s.buf) {
		return nil, false, errShort
	}
	s.pos = i + 1
	return s.buf[start:i], plain, nil
}

// plainLength returns how many bytes at the start of a string are ASCII that
// stands for itself.
func plainLength(b []byte) int {
	for i, c := range b {
		if c-' ' >= 0x7f-' ' || c == '"' || c == '\\' {
			return i
		}
	}
	return len(b)
}

// checkEscape returns the length of the escape at pos.
func (s *scanner) checkEscape() (int, error) {
	if s.pos+1 == len(s.buf) {
		return 0, errShort
	}
	switch s.buf[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		for i := s.pos + 2; i < s.pos+6; i++ {
			if i >= len(s.buf) {
				return 0, errShort
			}
			if hexValue(s.buf[i]) > 15 {
				return 0, s.errorf("invalid escape in a string")
			}
		}
		return 6, nil
	}
	return 0, s.errorf("invalid escape in a string")
}

// hexValue returns more than 15 for what is no hexadecimal digit.
func hexValue(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c-'a' <= 5:
		return c - 'a' + 10
	case c-'A' <= 5:
		return c - 'A' + 10
	}
	return 0xff
}

// unescape appends the meaning of a string that rawString has checked. What
// is not UTF-8 becomes U+FFFD, byte by byte.
func unescape(dst, raw []byte) []byte {
	for len(raw) > 0 {
		if raw[0] == '\\' {
			var n int
			dst, n = unescapeOne(dst, raw)
			raw = raw[n:]
			continue
		}
		if raw[0] < utf8.RuneSelf {
			dst = append(dst, raw[0])
			raw = raw[1:]
			continue
		}
		r, size := utf8.DecodeRune(raw)
		dst = utf8.AppendRune(dst, r)
		raw = raw[size:]
	}
	return dst
}

func unescapeOne(dst, raw []byte) ([]byte, int) {
	switch c := raw[1]; c {
	case 'b':
		return append(dst, '\b'), 2
	case 'f':
		return append(dst, '\f'), 2
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	case 'u':
	default:
		return append(dst, c), 2
	}
	r := hexRune(raw[2:])
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(dst, r), 6
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if pair := utf16.DecodeRune(r, hexRune(raw[8:])); pair != utf8.RuneError {
			return utf8.AppendRune(dst, pair), 12
		}
	}
	return utf8.AppendRune(dst, utf8.RuneError), 6
}

func hexRune(s []byte) rune {
	var r rune
	for _, c := range s[:4] {
		r = r<<4 | rune(hexValue(c))
	}
	return r
}

// number reads an unsigned integer of that many bits.
func (s *scanner) number(bits int) (uint64, error) {
	if _, err := s.peek(); err != nil {
		return 0, err
	}
	start := s.pos
	if err := s.skipNumber(); err != nil {
		return 0, err
	}
	raw := s.buf[start:s.pos]
	var v uint64
	for i, c := range raw {
		if c-'0' > 9 || i == 19 {
			return s.bigNumber(raw, bits)
		}
		v = v*10 + uint64(c-'0')
	}
	if bits < 64 && v>>bits != 0 {
		return s.bigNumber(raw, bits)
	}
	return v, nil
}

// bigNumber reads what may be out of range, and tells why it is wrong.
func (s *scanner) bigNumber(raw []byte, bits int) (uint64, error) {
	v, err := strconv.ParseUint(string(raw), 10, bits)
	if err != nil {
		return 0, s.errorf("number %.40s is not an unsigned integer of %d bits", raw, bits)
	}
	return v, nil
}

// skipNumber skips a number of any form that JSON knows.
func (s *scanner) skipNumber() error {
	if s.pos < len(s.buf) && s.buf[s.pos] == '-' {
		s.pos++
	}
	zero := s.pos < len(s.buf) && s.buf[s.pos] == '0'
	n, err := s.skipDigits()
	if err != nil {
		return err
	}
	if zero && n > 1 {
		return s.errorf("number with a leading zero")
	}
	if s.buf[s.pos] == '.' {
		s.pos++
		if _, err := s.skipDigits(); err != nil {
			return err
		}
	}
	if c := s.buf[s.pos]; c == 'e' || c == 'E' {
		s.pos++
		if s.pos < len(s.buf) && (s.buf[s.pos] == '+' || s.buf[s.pos] == '-') {
			s.pos++
		}
		if _, err := s.skipDigits(); err != nil {
			return err
		}
	}
	return nil
}

// skipDigits skips one digit or more. A number that ends where the buffer
// does is short: in an object, something always follows.
func (s *scanner) skipDigits() (int, error) {
	start := s.pos
	for s.pos < len(s.buf) && s.buf[s.pos]-'0' <= 9 {
		s.pos++
	}
	if s.pos == len(s.buf) {
		return 0, errShort
	}
	if s.pos == start {
		return 0, s.errorf("%q where a number should be", s.buf[s.pos])
	}
	return s.pos - start, nil
}

// skipValue skips any value, but checks that it is one.
func (s *scanner) skipValue() error { return s.skipNested(0) }

func (s *scanner) skipNested(depth int) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	switch c {
	case '"':
		_, _, err := s.rawString()
		return err
	case '{', '[':
		if depth == maxDepth {
			return s.errorf("nested too deeply")
		}
		s.pos++
		return s.skipElements(c == '{', depth+1)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.skipNumber()
}

func (s *scanner) skipElements(object bool, depth int) error {
	closing := byte(']')
	if object {
		closing = '}'
	}
	for i := 0; ; i++ {
		more, err := s.more(i, closing)
		if err != nil || !more {
			return err
		}
		if object {
			if _, _, err := s.rawString(); err != nil {
				return err
			}
			if err := s.expect(':'); err != nil {
				return err
			}
		}
		if err := s.skipNested(depth); err != nil {
			return err
		}
	}
}

// id reads the 64 digits of an ID.
func (s *scanner) id(id *crypto.ID) error {
	const size = len(`""`) + 2*crypto.IDSize
	// Mostly there is nothing to look for: the quotes are where they should be.
	if b := s.buf[s.pos:]; len(b) >= size && b[0] == '"' && b[size-1] == '"' && parseID(id, b[1:size-1]) {
		s.pos += size
		return nil
	}
	raw, _, err := s.rawString()
	if err != nil {
		return err
	}
	if len(raw) != 2*crypto.IDSize || !parseID(id, raw) {
		return s.errorf("%.80q is not an ID", raw)
	}
	return nil
}

func parseID(id *crypto.ID, raw []byte) bool {
	var invalid byte
	for i := range id {
		hi, lo := lowerHex[raw[2*i]], lowerHex[raw[2*i+1]]
		invalid |= hi | lo
		id[i] = hi<<4 | lo
	}
	return invalid <= 15
}

// lowerHex has the values of the digits that IDs are written with; all other
// bytes have 0xff.
var lowerHex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range hexDigits {
		t[hexDigits[i]] = byte(i)
	}
	return t
}()
