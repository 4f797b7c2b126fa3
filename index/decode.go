package index

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/garner-backup/garner/crypto"
)

// SyntaxError tells what is wrong with an index file, and where.
type SyntaxError struct {
	Offset int // byte of the document
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("index file, byte %d: %s", e.Offset, e.Msg)
}

// errStop carries an error of the callback through the parser.
type errStop struct{ err error }

func (e errStop) Error() string { return e.err.Error() }

// Decode calls fn for each pack of an index file, in order. The blobs are
// valid until fn returns. Members that are not known are skipped, among them
// "supersedes", which never hid other files; a member that is known must not
// be repeated. The list of packs that restic 0.1 wrote without an object
// around it is refused. Decode returns fn's error, or a [*SyntaxError]; fn may
// have had packs by then.
func Decode(data []byte, fn func(pack crypto.ID, blobs []Blob) error) error {
	d := decoder{data: data, fn: fn}
	d.onBlob = d.blobMember
	err := d.file()
	var stop errStop
	if errors.As(err, &stop) {
		return stop.err
	}
	return err
}

// decoder is a parser for just this kind of document: encoding/json takes
// tens of times as long for what is by far the largest part of opening a
// repository.
type decoder struct {
	data  []byte
	at    int
	fn    func(pack crypto.ID, blobs []Blob) error
	blobs []Blob // of the current pack

	cur    Blob                   // being parsed
	have   int                    // members of cur seen so far
	onBlob func(key []byte) error // blobMember; made once, as it would cost an allocation each time
}

// maxDepth bounds the nesting of members that are skipped.
const maxDepth = 100

func (d *decoder) fail(format string, args ...any) error {
	return &SyntaxError{Offset: d.at, Msg: fmt.Sprintf(format, args...)}
}

func (d *decoder) space() {
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, or 0 at the end.
func (d *decoder) peek() byte {
	d.space()
	if d.at == len(d.data) {
		return 0
	}
	return d.data[d.at]
}

func (d *decoder) expect(c byte) error {
	if got := d.peek(); got != c {
		if got == 0 && d.at == len(d.data) {
			return d.fail("ends where %q should be", c)
		}
		return d.fail("%q where %q should be", got, c)
	}
	d.at++
	return nil
}

func (d *decoder) file() error {
	if d.peek() == '[' {
		return d.fail("this is the form that restic 0.1 wrote, which is not supported; rewrite the index with restic 0.17 or older")
	}
	have := 0
	err := d.object(func(key []byte) error {
		if string(key) != "packs" {
			return d.skip(0)
		}
		if err := d.once(&have, 1); err != nil {
			return err
		}
		return d.list(d.pack)
	})
	if err != nil {
		return err
	}
	if d.peek() != 0 || d.at != len(d.data) {
		return d.fail("something follows the document")
	}
	return nil
}

// object parses an object and calls member behind each key.
func (d *decoder) object(member func(key []byte) error) error {
	if err := d.expect('{'); err != nil {
		return err
	}
	if d.peek() == '}' {
		d.at++
		return nil
	}
	for {
		key, err := d.text()
		if err != nil {
			return err
		}
		if err := d.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if d.peek() != ',' {
			return d.expect('}')
		}
		d.at++
	}
}

// list parses an array, or null for an empty one, and calls item at each
// element.
func (d *decoder) list(item func() error) error {
	if d.peek() == 'n' {
		return d.literal("null")
	}
	if err := d.expect('['); err != nil {
		return err
	}
	if d.peek() == ']' {
		d.at++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if d.peek() != ',' {
			return d.expect(']')
		}
		d.at++
	}
}

func (d *decoder) pack() error {
	const hasID, hasBlobs = 1, 2
	var id crypto.ID
	have := 0
	d.blobs = d.blobs[:0]
	d.space()
	start := d.at
	err := d.object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			if err = d.once(&have, hasID); err == nil {
				id, err = d.id()
			}
		case "blobs":
			if err = d.once(&have, hasBlobs); err == nil {
				err = d.list(d.blob)
			}
		default:
			err = d.skip(0)
		}
		return err
	})
	if err != nil {
		return err
	}
	if have&hasID == 0 || id.IsZero() {
		d.at = start
		return d.fail("pack without an ID")
	}
	if err := d.fn(id, d.blobs); err != nil {
		return errStop{err}
	}
	return nil
}

// The members of a blob that are known.
const (
	haveID = 1 << iota
	haveType
	haveOffset
	haveLength
	haveUncompressed
	mustHave = haveID | haveType | haveOffset | haveLength
)

// once notes in have that a member was seen, and refuses it if it was before.
func (d *decoder) once(have *int, member int) error {
	if *have&member != 0 {
		return d.fail("repeated member")
	}
	*have |= member
	return nil
}

func (d *decoder) blob() error {
	if d.usualBlob() {
		return nil
	}
	d.cur, d.have = Blob{}, 0
	d.space()
	start := d.at
	if err := d.object(d.onBlob); err != nil {
		return err
	}
	switch b := d.cur; {
	case d.have&mustHave != mustHave:
		d.at = start
		return d.fail("blob without ID, type, offset or length")
	case b.Length < crypto.Overhead:
		d.at = start
		return d.fail("blob %s of %d stored bytes is shorter than the overhead of %d", b.ID.Short(), b.Length, crypto.Overhead)
	}
	d.blobs = append(d.blobs, d.cur)
	return nil
}

// blobMember parses the value of a member of d.cur.
func (d *decoder) blobMember(key []byte) (err error) {
	member := 0
	switch string(key) {
	case "id":
		member = haveID
		d.cur.ID, err = d.id()
	case "type":
		member = haveType
		d.cur.Type, err = d.blobType()
	case "offset":
		member = haveOffset
		d.cur.Offset, err = d.number()
	case "length":
		member = haveLength
		d.cur.Length, err = d.number()
	case "uncompressed_length":
		member = haveUncompressed
		d.cur.UncompressedLength, err = d.number()
	default:
		return d.skip(0)
	}
	if err != nil {
		return err
	}
	return d.once(&d.have, member)
}

func (d *decoder) id() (crypto.ID, error) {
	s, err := d.text()
	if err != nil {
		return crypto.ID{}, err
	}
	id, err := crypto.ParseHex(s)
	if err != nil {
		return id, d.fail("%v", err)
	}
	return id, nil
}

func (d *decoder) blobType() (BlobType, error) {
	s, err := d.text()
	if err != nil {
		return 0, err
	}
	switch string(s) {
	case "data":
		return DataBlob, nil
	case "tree":
		return TreeBlob, nil
	}
	return 0, d.fail("invalid blob type %q", s)
}

// number parses an unsigned number of 32 bits, without fraction or exponent.
func (d *decoder) number() (uint32, error) {
	d.space()
	start := d.at
	var n uint64
	for ; d.at < len(d.data) && d.data[d.at]-'0' <= 9; d.at++ {
		if n = 10*n + uint64(d.data[d.at]-'0'); n > 1<<32-1 {
			return 0, d.fail("number exceeds 32 bits")
		}
	}
	digits := d.at - start
	if digits == 0 || digits > 1 && d.data[start] == '0' {
		return 0, d.fail("not an unsigned whole number")
	}
	if d.at < len(d.data) && bytes.IndexByte([]byte(".eE"), d.data[d.at]) >= 0 {
		return 0, d.fail("not a whole number")
	}
	return uint32(n), nil
}

// text parses a string. It points into the document unless it has escapes.
func (d *decoder) text() ([]byte, error) {
	if err := d.expect('"'); err != nil {
		return nil, err
	}
	start := d.at
	for ; d.at < len(d.data); d.at++ {
		switch c := d.data[d.at]; {
		case c == '"':
			d.at++
			return d.data[start : d.at-1], nil
		case c == '\\':
			return d.escapedText(start)
		case c < ' ':
			return nil, d.fail("control character in a string")
		}
	}
	return nil, d.fail("string without an end")
}

// escapedText parses a string from start on that has an escape at d.at.
func (d *decoder) escapedText(start int) ([]byte, error) {
	out := bytes.Clone(d.data[start:d.at])
	for d.at < len(d.data) {
		c := d.data[d.at]
		d.at++
		switch {
		case c == '"':
			return out, nil
		case c < ' ':
			return nil, d.fail("control character in a string")
		case c != '\\':
			out = append(out, c)
			continue
		}
		if d.at == len(d.data) {
			break
		}
		e := d.data[d.at]
		d.at++
		if e != 'u' {
			i := bytes.IndexByte([]byte(`"\/bfnrt`), e)
			if i < 0 {
				return nil, d.fail("invalid escape in a string")
			}
			out = append(out, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		if d.at+4 > len(d.data) {
			break
		}
		r, err := strconv.ParseUint(string(d.data[d.at:d.at+4]), 16, 16)
		if err != nil {
			return nil, d.fail("invalid escape in a string")
		}
		d.at += 4
		out = append(out, string(rune(r))...) // halves of a pair become U+FFFD; no name here has any
	}
	return nil, d.fail("string without an end")
}

func (d *decoder) literal(s string) error {
	if !bytes.HasPrefix(d.data[d.at:], []byte(s)) {
		return d.fail("neither a value nor %s", s)
	}
	d.at += len(s)
	return nil
}

// skip passes over any value.
func (d *decoder) skip(depth int) error {
	if depth > maxDepth {
		return d.fail("nested too deep")
	}
	switch c := d.peek(); {
	case c == '{':
		return d.object(func([]byte) error { return d.skip(depth + 1) })
	case c == '[':
		return d.list(func() error { return d.skip(depth + 1) })
	case c == '"':
		_, err := d.text()
		return err
	case c == 't':
		return d.literal("true")
	case c == 'f':
		return d.literal("false")
	case c == 'n':
		return d.literal("null")
	case c == '-' || c-'0' <= 9:
		return d.skipNumber()
	}
	return d.fail("no value")
}

func (d *decoder) skipNumber() error {
	start := d.at
	for d.at < len(d.data) && bytes.IndexByte([]byte("+-.eE0123456789"), d.data[d.at]) >= 0 {
		d.at++
	}
	if !json.Valid(d.data[start:d.at]) {
		return d.fail("invalid number")
	}
	return nil
}
