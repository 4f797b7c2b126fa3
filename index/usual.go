package index

import (
	"encoding/binary"

	"github.com/garner-backup/garner/crypto"
)

// The form of a blob in all index files that restic and garner write: no
// white space, members in this order, the last one only if the blob is
// compressed.
const (
	usualID     = `{"id":"`
	usualType   = `","type":"` // data or tree
	usualOffset = `","offset":`
	usualLength = `,"length":`
	usualPlain  = `,"uncompressed_length":`

	usualTypeAt   = len(usualID) + 2*crypto.IDSize
	usualOffsetAt = usualTypeAt + len(usualType) + len("data")
	usualNumberAt = usualOffsetAt + len(usualOffset)
)

// usualBlob parses a blob in the usual form, several times as fast as blob,
// which parses the others. False means that it is another form or wrong;
// nothing has changed then.
func (d *decoder) usualBlob() bool {
	s := d.data[d.at:]
	if len(s) < usualNumberAt ||
		string(s[:len(usualID)]) != usualID ||
		string(s[usualTypeAt:usualTypeAt+len(usualType)]) != usualType ||
		string(s[usualOffsetAt:usualNumberAt]) != usualOffset {
		return false
	}
	var b Blob
	switch string(s[usualTypeAt+len(usualType) : usualOffsetAt]) {
	case "data":
		b.Type = DataBlob
	case "tree":
		b.Type = TreeBlob
	default:
		return false
	}
	if !parseHex(&b.ID, s[len(usualID):usualTypeAt]) {
		return false
	}
	var ok bool
	if b.Offset, s, ok = usualNumber(s[usualNumberAt:]); !ok || !hasPrefix(s, usualLength) {
		return false
	}
	if b.Length, s, ok = usualNumber(s[len(usualLength):]); !ok || b.Length < crypto.Overhead {
		return false
	}
	if hasPrefix(s, usualPlain) {
		if b.UncompressedLength, s, ok = usualNumber(s[len(usualPlain):]); !ok {
			return false
		}
	}
	if len(s) == 0 || s[0] != '}' {
		return false
	}
	d.at = len(d.data) - len(s) + 1
	d.blobs = append(d.blobs, b)
	return true
}

func hasPrefix(s []byte, prefix string) bool {
	return len(s) >= len(prefix) && string(s[:len(prefix)]) == prefix
}

// usualNumber parses a number of at most nine digits, so that it has no more
// than 32 bits, and returns what follows.
func usualNumber(s []byte) (n uint32, rest []byte, ok bool) {
	i := 0
	for ; i < len(s) && i < 10 && s[i]-'0' <= 9; i++ {
		n = 10*n + uint32(s[i]-'0')
	}
	return n, s[i:], i > 0 && i < 10 && (i == 1 || s[0] != '0')
}

// parseHex parses 64 lower-case hexadecimal digits, eight at a time in one
// register; false if they are not all that.
func parseHex(id *crypto.ID, s []byte) bool {
	const (
		ones  = 0x0101010101010101
		lows  = 0x0f * ones
		zeros = '0' * ones
	)
	s = s[:2*crypto.IDSize]
	var wrong uint64
	for i := 0; i < crypto.IDSize; i += 4 {
		x := binary.LittleEndian.Uint64(s[2*i:])
		// Bit 6 tells letters, whose lower half begins at 1, from digits.
		n := x&lows + 9*(x>>6&ones)
		// Right is what is written as it was read.
		letters := (n + 6*ones) >> 4 & ones
		wrong |= n &^ lows
		wrong |= x ^ (n + zeros + letters*('a'-'0'-10))
		// The first digit of two is the higher one.
		n = (n<<4 | n>>8) & 0x00ff00ff00ff00ff
		n = (n | n>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(id[i:], uint32(n|n>>16))
	}
	return wrong == 0
}
