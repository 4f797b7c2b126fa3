package crypto

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// IDSize is the length of an ID in bytes.
const IDSize = sha256.Size

// ID is a SHA-256 digest. Blobs are named by the digest of their plaintext,
// files of a repository by the digest of their stored bytes.
type ID [IDSize]byte

// Hash returns the ID of p.
func Hash(p []byte) ID { return sha256.Sum256(p) }

// RandomID returns an ID of random bytes, as the config of a repository
// carries one.
func RandomID() ID {
	var id ID
	rand.Read(id[:]) // never fails; the runtime aborts without a random source
	return id
}

// ParseID parses the 64 hexadecimal digits of s. Upper-case digits are
// refused, because names in a repository are written in lower case.
func ParseID(s string) (ID, error) { return ParseHex([]byte(s)) }

// ParseHex is ParseID for the digits in a byte slice.
func ParseHex(s []byte) (ID, error) {
	if len(s) != 2*IDSize {
		return ID{}, fmt.Errorf("invalid ID %q: want %d hexadecimal digits, have %d", s, 2*IDSize, len(s))
	}
	var id ID
	var bad byte
	for i := range id {
		hi, lo := nibbles[s[2*i]], nibbles[s[2*i+1]]
		bad |= hi | lo
		id[i] = hi<<4 | lo&15
	}
	if bad > 15 {
		return ID{}, fmt.Errorf("invalid ID %q: not lower-case hexadecimal", s)
	}
	return id, nil
}

// nibbles maps lower-case hexadecimal digits to their values, and all other
// bytes to 255.
var nibbles = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	return t
}()

// String returns the 64 lower-case hexadecimal digits of the ID.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first eight digits, the form that people are shown.
func (id ID) Short() string { return hex.EncodeToString(id[:4]) }

// AppendHex appends the 64 digits of the ID to dst.
func (id ID) AppendHex(dst []byte) []byte { return hex.AppendEncode(dst, id[:]) }

// IsZero reports whether all bytes are zero. No content has that ID; in a
// struct it stands for "none".
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders IDs by their bytes, as bytes.Compare does.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// MarshalText returns the hexadecimal form; with it an ID is a JSON string.
func (id ID) MarshalText() ([]byte, error) { return id.AppendHex(nil), nil }

// UnmarshalText parses the hexadecimal form.
func (id *ID) UnmarshalText(b []byte) error {
	parsed, err := ParseHex(b)
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
