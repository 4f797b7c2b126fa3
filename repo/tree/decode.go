package tree

import (
	"errors"
	"fmt"
	"io"
)

// Where a Decoder is.
const (
	atStart   = iota // before the first node
	atNode           // before a node or the end of the list
	atTrailer        // after the list
	atEnd
)

// Decoder reads a tree blob a node at a time. Members of newer versions, white
// space and the order of members don't matter to it. It takes nodes in any
// order, as old programs wrote them: see [Decoder.Order].
type Decoder struct {
	scanner
	r     io.Reader // nil: buf is all there is
	eof   bool      // of r
	state int
	count int // nodes read
	err   error

	last  string // name of the last node
	order error

	scratch     []byte // a string's meaning
	zones       zones
	user, group string // of the last node: mostly the next one's too
}

// NewDecoder returns a Decoder for a tree blob in memory. Nodes do not refer
// to data, but it must not change before the last one has been read.
func NewDecoder(data []byte) *Decoder {
	return &Decoder{scanner: scanner{buf: data}}
}

// streamBuffer is how many bytes a stream's Decoder begins with. It must hold
// a whole node, and grows for one that is larger.
const streamBuffer = 64 << 10

// NewStreamDecoder returns a Decoder for a tree blob that is read from r, to
// its end. Memory is that of the largest node.
func NewStreamDecoder(r io.Reader) *Decoder {
	return &Decoder{r: r, scanner: scanner{buf: make([]byte, 0, streamBuffer)}}
}

// Next reads the next node into n, all of which it overwrites; the memory of
// n's lists is used again. At the end of the tree it returns [io.EOF]. What is
// not a tree is a [*FormatError], other errors are the reader's. After an error
// the Decoder only repeats it, and n is not defined.
func (d *Decoder) Next(n *Node) error {
	if d.err != nil {
		return d.err
	}
	content, xattrs := n.Content[:0], n.ExtendedAttributes[:0]
	for {
		start := d.pos
		var done bool
		var err error
		switch d.state {
		case atStart:
			err = d.start()
		case atNode:
			*n = Node{Content: content, ExtendedAttributes: xattrs}
			done, err = d.element(n)
		case atTrailer:
			err = d.trailer()
		case atEnd:
			err = io.EOF
		}
		if err == errShort && d.fill(start) {
			continue
		}
		if err != nil && d.err == nil {
			d.err = d.located(err)
		}
		if d.err != nil || done {
			return d.err
		}
	}
}

// Order returns an [*OrderError] for the first pair of nodes so far that is not
// in order, nil if there is none. It does not keep Next from going on.
func (d *Decoder) Order() error { return d.order }

// fill reads on in the stream. It drops what is before from and sets pos to
// from's new place. It returns false if nothing has changed, because there is
// no more or, with d.err set, because reading failed.
func (d *Decoder) fill(from int) bool {
	if d.r == nil || d.eof {
		return false
	}
	rest := d.buf[from:]
	if len(rest) > cap(d.buf)/2 {
		// Doubled, so that parsing a large node over again for each fill
		// costs no more than twice its length.
		d.buf = make([]byte, 0, 2*cap(d.buf))
	}
	d.buf = append(d.buf[:0], rest...)
	d.base += int64(from)
	d.pos = 0
	for len(d.buf) < cap(d.buf) {
		n, err := d.r.Read(d.buf[len(d.buf):cap(d.buf)])
		d.buf = d.buf[:len(d.buf)+n]
		if err == io.EOF {
			d.eof = true
			break
		}
		if err != nil {
			d.err = fmt.Errorf("read tree: %w", err)
			return false
		}
	}
	return true
}

// start reads up to the list of nodes.
func (d *Decoder) start() error {
	if err := d.expect('{'); err != nil {
		return err
	}
	for i := 0; ; i++ {
		nodes, err := d.topMember(i)
		if err == nil && !nodes {
			continue
		}
		if errors.Is(err, errNoMember) {
			return d.errorf("no member %q", "nodes")
		}
		if err != nil {
			return err
		}
		// Null is how Go writes a list that was never made.
		null, err := d.null()
		if null {
			d.state = atTrailer
		}
		if err != nil || null {
			return err
		}
		if err := d.expect('['); err != nil {
			return err
		}
		d.state = atNode
		return nil
	}
}

// errNoMember ends an object.
var errNoMember = errors.New("no more members")

// topMember reads a member's key and colon. Unless it is the list of nodes it
// skips its value.
func (d *Decoder) topMember(i int) (nodes bool, err error) {
	more, err := d.more(i, '}')
	if err != nil {
		return false, err
	}
	if !more {
		return false, errNoMember
	}
	key, err := d.key()
	if err != nil {
		return false, err
	}
	if string(key) == "nodes" {
		return true, nil
	}
	return false, d.skipValue()
}

// trailer reads what follows the list, and makes sure that nothing is left.
func (d *Decoder) trailer() error {
	for {
		nodes, err := d.topMember(1)
		if errors.Is(err, errNoMember) {
			break
		}
		if err != nil {
			return err
		}
		if nodes {
			return d.errorf("a second member %q", "nodes")
		}
	}
	d.skipSpace()
	switch {
	case d.pos < len(d.buf):
		return d.errorf("data after the tree")
	case d.r != nil && !d.eof:
		return errShort
	}
	d.state = atEnd
	return nil
}

// element reads a node, or the end of the list; done means a node.
func (d *Decoder) element(n *Node) (done bool, err error) {
	more, err := d.more(d.count, ']')
	if err != nil {
		return false, err
	}
	if !more {
		d.state = atTrailer
		return false, nil
	}
	if err := d.node(n); err != nil {
		return false, err
	}
	if d.count > 0 && n.Name <= d.last && d.order == nil {
		d.order = &OrderError{Previous: d.last, Name: n.Name}
	}
	d.last = n.Name
	d.count++
	return true, nil
}

// Decode returns all nodes of a tree blob.
func Decode(data []byte) ([]Node, error) {
	nodes := []Node{}
	d := NewDecoder(data)
	for {
		var n Node
		err := d.Next(&n)
		if err == io.EOF {
			return nodes, nil
		}
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
}
