package tree

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"strconv"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// key reads a member's key and the colon. The result is good until the next
// string is read.
func (d *Decoder) key() ([]byte, error) {
	key, err := d.text()
	if err != nil {
		return nil, err
	}
	return key, d.expect(':')
}

// text reads a string. The result is good until the next one is read.
func (d *Decoder) text() ([]byte, error) {
	raw, plain, err := d.rawString()
	if err != nil || plain {
		return raw, err
	}
	d.scratch = unescape(d.scratch[:0], raw)
	return d.scratch, nil
}

// spare is memory of an earlier node that this one may use, and what can only
// be set when the node is complete.
type spare struct {
	content   []crypto.ID
	xattrs    []ExtendedAttribute
	rawTarget []byte
}

// node reads an object into n, whose lists are empty but may have memory. A
// member that is there twice counts as it is the last time, and null is as
// good as no member, both as with Go's decoder.
func (d *Decoder) node(n *Node) error {
	s := spare{content: n.Content, xattrs: n.ExtendedAttributes}
	n.Content, n.ExtendedAttributes = nil, nil
	if err := d.expect('{'); err != nil {
		return err
	}
	for i := 0; ; i++ {
		more, err := d.more(i, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		key, err := d.key()
		if err != nil {
			return err
		}
		if err := d.member(n, key, &s); err != nil {
			return err
		}
	}
	if len(s.rawTarget) > 0 {
		n.LinkTarget = string(s.rawTarget)
	}
	return nil
}

// member reads the value of one member.
func (d *Decoder) member(n *Node, key []byte, s *spare) (err error) {
	switch string(key) {
	case "name":
		n.Name, err = d.name()
	case "type":
		n.Type, err = d.nodeType()
	case "mode":
		var mode uint32
		err = d.uint32(&mode)
		n.Mode = fs.FileMode(mode)
	case "mtime":
		err = d.time(&n.ModTime)
	case "atime":
		err = d.time(&n.AccessTime)
	case "ctime":
		err = d.time(&n.ChangeTime)
	case "uid":
		err = d.uint32(&n.UID)
	case "gid":
		err = d.uint32(&n.GID)
	case "user":
		n.User, err = d.repeated(&d.user)
	case "group":
		n.Group, err = d.repeated(&d.group)
	case "inode":
		err = d.uint64(&n.Inode)
	case "device_id":
		err = d.uint64(&n.DeviceID)
	case "size":
		err = d.uint64(&n.Size)
	case "links":
		err = d.uint64(&n.Links)
	case "content":
		n.Content, err = d.content(s.content[:0])
	case "subtree":
		err = d.subtree(&n.Subtree)
	default:
		return d.rareMember(n, key, s)
	}
	return err
}

// rareMember reads the members that most nodes lack, and skips those that
// nodes of newer versions have.
func (d *Decoder) rareMember(n *Node, key []byte, s *spare) (err error) {
	switch string(key) {
	case "linktarget":
		n.LinkTarget, err = d.string()
	case "linktarget_raw":
		s.rawTarget, err = d.base64()
	case "extended_attributes":
		n.ExtendedAttributes, err = d.xattrs(s.xattrs[:0])
	case "generic_attributes":
		n.GenericAttributes, err = d.generic()
	case "device":
		err = d.uint64(&n.Device)
	case "error":
		n.Error, err = d.string()
	default:
		err = d.skipValue()
	}
	return err
}

func (d *Decoder) string() (string, error) {
	if null, err := d.null(); null || err != nil {
		return "", err
	}
	s, err := d.text()
	return string(s), err
}

// repeated reads a string that is likely the same as last.
func (d *Decoder) repeated(last *string) (string, error) {
	if null, err := d.null(); null || err != nil {
		return "", err
	}
	s, err := d.text()
	if err == nil && string(s) != *last {
		*last = string(s)
	}
	return *last, err
}

// name reads a string and takes it as a Go string literal without quotes.
func (d *Decoder) name() (string, error) {
	if null, err := d.null(); null || err != nil {
		return "", err
	}
	s, err := d.text()
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(s, '\\') < 0 && bytes.IndexByte(s, '"') < 0 && bytes.IndexByte(s, '\n') < 0 {
		return string(s), nil
	}
	name, err := strconv.Unquote(`"` + string(s) + `"`)
	if err != nil {
		return "", d.errorf("name %q: invalid quoting", s)
	}
	return name, nil
}

func (d *Decoder) nodeType() (NodeType, error) {
	if null, err := d.null(); null || err != nil {
		return "", err
	}
	s, err := d.text()
	if err != nil {
		return "", err
	}
	switch string(s) { // the common ones need no memory
	case string(TypeFile):
		return TypeFile, nil
	case string(TypeDir):
		return TypeDir, nil
	case string(TypeSymlink):
		return TypeSymlink, nil
	}
	return NodeType(s), nil
}

func (d *Decoder) uint64(v *uint64) error {
	*v = 0
	null, err := d.null()
	if err == nil && !null {
		*v, err = d.number(64)
	}
	return err
}

func (d *Decoder) uint32(v *uint32) error {
	*v = 0
	null, err := d.null()
	if err != nil || null {
		return err
	}
	n, err := d.number(32)
	*v = uint32(n)
	return err
}

func (d *Decoder) time(t *time.Time) error {
	*t = time.Time{}
	null, err := d.null()
	if err != nil || null {
		return err
	}
	raw, _, err := d.rawString()
	if err != nil {
		return err
	}
	var ok bool
	if *t, ok = d.zones.parse(raw); !ok {
		return d.errorf("%.60q is not a time", raw)
	}
	return nil
}

// base64 reads a string of bytes; null is nil.
func (d *Decoder) base64() ([]byte, error) {
	if null, err := d.null(); null || err != nil {
		return nil, err
	}
	s, err := d.text()
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.AppendDecode([]byte{}, s)
	if err != nil {
		return nil, d.errorf("invalid base64: %w", err)
	}
	return b, nil
}

func (d *Decoder) subtree(id *crypto.ID) error {
	*id = crypto.ID{}
	null, err := d.null()
	if err != nil || null {
		return err
	}
	return d.id(id)
}

func (d *Decoder) content(ids []crypto.ID) ([]crypto.ID, error) {
	if null, err := d.null(); null || err != nil {
		return nil, err
	}
	if ids == nil {
		ids = []crypto.ID{}
	}
	if err := d.expect('['); err != nil {
		return nil, err
	}
	for {
		more, err := d.more(len(ids), ']')
		if err != nil || !more {
			return ids, err
		}
		ids = append(ids, crypto.ID{})
		if err := d.id(&ids[len(ids)-1]); err != nil {
			return nil, err
		}
	}
}

func (d *Decoder) xattrs(attrs []ExtendedAttribute) ([]ExtendedAttribute, error) {
	if null, err := d.null(); null || err != nil {
		return nil, err
	}
	if err := d.expect('['); err != nil {
		return nil, err
	}
	for {
		more, err := d.more(len(attrs), ']')
		if err != nil || !more {
			return attrs, err
		}
		a, err := d.xattr()
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	}
}

func (d *Decoder) xattr() (ExtendedAttribute, error) {
	var a ExtendedAttribute
	err := d.object(func(key []byte) error {
		var err error
		switch string(key) {
		case "name":
			a.Name, err = d.string()
		case "value":
			a.Value, err = d.base64()
		default:
			err = d.skipValue()
		}
		return err
	})
	return a, err
}

// generic reads an object and keeps its values as they are.
func (d *Decoder) generic() (map[string]json.RawMessage, error) {
	if null, err := d.null(); null || err != nil {
		return nil, err
	}
	attrs := make(map[string]json.RawMessage)
	err := d.object(func(key []byte) error {
		name := string(key)
		d.skipSpace()
		start := d.pos
		if err := d.skipValue(); err != nil {
			return err
		}
		attrs[name] = append(json.RawMessage(nil), d.buf[start:d.pos]...)
		return nil
	})
	return attrs, err
}

// object reads an object; fn reads the value of a member.
func (d *Decoder) object(fn func(key []byte) error) error {
	if err := d.expect('{'); err != nil {
		return err
	}
	for i := 0; ; i++ {
		more, err := d.more(i, '}')
		if err != nil || !more {
			return err
		}
		key, err := d.key()
		if err != nil {
			return err
		}
		if err := fn(key); err != nil {
			return err
		}
	}
}
