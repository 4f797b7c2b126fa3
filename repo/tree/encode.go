package tree

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/garner-backup/garner/crypto"
)

// Header and Trailer enclose the nodes of a tree blob, which are separated by
// commas. The line feed at the end is part of the blob.
const (
	Header  = `{"nodes":[`
	Trailer = "]}\n"
)

// AppendNode appends the JSON of a node to dst. Members follow one another in
// the order restic writes them, and those that restic leaves out when they are
// zero are left out. Years outside 0 to 9999 are clamped, as restic does.
//
// An error, for a time zone of a day or more or for attributes that are not
// JSON, leaves dst as it was. The node is not validated.
func AppendNode(dst []byte, n *Node) ([]byte, error) {
	b := append(dst, `{"name":"`...)
	b = appendName(b, n.Name)
	b = append(b, `","type":`...)
	b = appendString(b, string(n.Type))
	b = appendNumber(b, `,"mode":`, uint64(n.Mode))
	b, err := appendTimes(b, n)
	if err != nil {
		return dst, fmt.Errorf("encode node %q: %w", n.Name, err)
	}
	b = strconv.AppendUint(append(b, `,"uid":`...), uint64(n.UID), 10)
	b = strconv.AppendUint(append(b, `,"gid":`...), uint64(n.GID), 10)
	b = appendText(b, `,"user":`, n.User)
	b = appendText(b, `,"group":`, n.Group)
	b = appendNumber(b, `,"inode":`, n.Inode)
	b = appendNumber(b, `,"device_id":`, n.DeviceID)
	b = appendNumber(b, `,"size":`, n.Size)
	b = appendNumber(b, `,"links":`, n.Links)
	b = appendLinkTarget(b, n.LinkTarget)
	b = appendXattrs(b, n.ExtendedAttributes)
	if b, err = appendGeneric(b, n.GenericAttributes); err != nil {
		return dst, fmt.Errorf("encode node %q: %w", n.Name, err)
	}
	b = appendNumber(b, `,"device":`, n.Device)
	b = appendContent(b, n.Content)
	if !n.Subtree.IsZero() {
		b = append(n.Subtree.AppendHex(append(b, `,"subtree":"`...)), '"')
	}
	b = appendText(b, `,"error":`, n.Error)
	return append(b, '}'), nil
}

func appendTimes(b []byte, n *Node) ([]byte, error) {
	b = append(b, `,"mtime":"`...)
	start := len(b)
	b, err := appendTime(b, n.ModTime)
	if err != nil {
		return nil, err
	}
	end := len(b)
	b = append(b, `","atime":"`...)
	if n.AccessTime == n.ModTime { // the very same value, as by default: the same text
		b = append(b, b[start:end]...)
	} else if b, err = appendTime(b, n.AccessTime); err != nil {
		return nil, err
	}
	b = append(b, `","ctime":"`...)
	if b, err = appendTime(b, n.ChangeTime); err != nil {
		return nil, err
	}
	return append(b, '"'), nil
}

// appendNumber appends a member unless v is zero.
func appendNumber(b []byte, key string, v uint64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendUint(append(b, key...), v, 10)
}

// appendText appends a member unless s is empty.
func appendText(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, key...), s)
}

// appendLinkTarget writes the target twice if JSON can't hold its bytes; the
// second form, which restic knows since 0.16, is exact.
func appendLinkTarget(b []byte, target string) []byte {
	b = appendText(b, `,"linktarget":`, target)
	if utf8.ValidString(target) {
		return b
	}
	b = append(b, `,"linktarget_raw":"`...)
	b = base64.StdEncoding.AppendEncode(b, []byte(target))
	return append(b, '"')
}

func appendXattrs(b []byte, attrs []ExtendedAttribute) []byte {
	if len(attrs) == 0 {
		return b
	}
	b = append(b, `,"extended_attributes":[`...)
	for i, a := range attrs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"name":`...), a.Name)
		b = append(b, `,"value":"`...)
		b = base64.StdEncoding.AppendEncode(b, a.Value)
		b = append(b, `"}`...)
	}
	return append(b, ']')
}

func appendGeneric(b []byte, attrs map[string]json.RawMessage) ([]byte, error) {
	if len(attrs) == 0 {
		return b, nil
	}
	var few [8]string // Windows has three
	keys := few[:0]
	for k := range attrs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	sep := `,"generic_attributes":{`
	for _, k := range keys {
		b = appendString(append(b, sep...), k)
		b = append(b, ':')
		var err error
		if b, err = appendRaw(b, attrs[k]); err != nil {
			return nil, fmt.Errorf("attribute %q: %w", k, err)
		}
		sep = ","
	}
	return append(b, '}'), nil
}

func appendContent(b []byte, ids []crypto.ID) []byte {
	if ids == nil {
		return append(b, `,"content":null`...)
	}
	b = append(b, `,"content":[`...)
	for i := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(ids[i].AppendHex(append(b, '"')), '"')
	}
	return append(b, ']')
}

// OrderError tells of a name that does not come after the one before it. The
// names of a tree ascend by their raw bytes, and none is there twice.
type OrderError struct{ Previous, Name string }

func (e *OrderError) Error() string {
	if e.Previous == e.Name {
		return fmt.Sprintf("name %q is there twice", e.Name)
	}
	return fmt.Sprintf("name %q follows %q: not in order", e.Name, e.Previous)
}

// flushSize is how many bytes an Encoder gathers before it writes.
const flushSize = 64 << 10

// Encoder writes a tree blob a node at a time. Its memory does not grow with
// the number of nodes.
type Encoder struct {
	w     io.Writer
	buf   []byte // encoded, not written yet
	last  string // name of the last node
	count int
	err   error // of w
}

// NewEncoder returns an Encoder that writes to w. [Encoder.Close] must be
// called at the end.
func NewEncoder(w io.Writer) *Encoder {
	return &Encoder{w: w, buf: append([]byte(nil), Header...)}
}

// Add writes a node. A name that does not come after that of the node before
// gives an [*OrderError]; like a node that can't be encoded it is left out,
// and the tree may go on. A node is not validated otherwise.
func (e *Encoder) Add(n *Node) error {
	if e.err != nil {
		return e.err
	}
	if e.count > 0 && n.Name <= e.last {
		return &OrderError{Previous: e.last, Name: n.Name}
	}
	b := e.buf
	if e.count > 0 {
		b = append(b, ',')
	}
	b, err := AppendNode(b, n)
	if err != nil {
		return err
	}
	e.buf, e.last = b, n.Name
	e.count++
	if len(e.buf) >= flushSize {
		return e.flush()
	}
	return nil
}

// Len returns the number of nodes added.
func (e *Encoder) Len() int { return e.count }

// Close completes the tree. It does not close the writer.
func (e *Encoder) Close() error {
	if e.err != nil {
		return e.err
	}
	e.buf = append(e.buf, Trailer...)
	return e.flush()
}

func (e *Encoder) flush() error {
	if _, err := e.w.Write(e.buf); err != nil {
		e.err = fmt.Errorf("write tree: %w", err)
	}
	e.buf = e.buf[:0]
	return e.err
}

// Encode returns the tree blob that holds the nodes, which must be in order;
// an [*OrderError] says that they are not.
func Encode(nodes []Node) ([]byte, error) {
	b := append([]byte(nil), Header...)
	for i := range nodes {
		if i > 0 {
			if nodes[i].Name <= nodes[i-1].Name {
				return nil, &OrderError{Previous: nodes[i-1].Name, Name: nodes[i].Name}
			}
			b = append(b, ',')
		}
		var err error
		if b, err = AppendNode(b, &nodes[i]); err != nil {
			return nil, err
		}
	}
	return append(b, Trailer...), nil
}
