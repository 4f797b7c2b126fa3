// Package tree is the codec for tree blobs: the JSON that lists a directory's
// entries, byte for byte as restic writes it, since its hash names the
// directory.
//
// [Node] is one entry. [AppendNode] writes one, [Encoder] a whole directory
// in order; [Decoder] reads a directory a node at a time, from memory or from
// a stream. [Walk] visits a tree and those below it, [Diff] compares two.
//
// The package does no I/O and knows no repository: who walks hands in a
// [Loader]. Nothing here looks at a file system; that is what the source and
// restore packages do.
package tree

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// NodeType says what kind of directory entry a node is.
type NodeType string

// The types that restic knows.
const (
	TypeFile       NodeType = "file"
	TypeDir        NodeType = "dir"
	TypeSymlink    NodeType = "symlink"
	TypeDevice     NodeType = "dev" // block device
	TypeCharDevice NodeType = "chardev"
	TypeFifo       NodeType = "fifo"
	TypeSocket     NodeType = "socket"    // in old repositories; never written
	TypeIrregular  NodeType = "irregular" // in old repositories; never written
)

// Node is one entry of a directory.
type Node struct {
	Name string // raw bytes, one path component
	Type NodeType
	Mode fs.FileMode

	ModTime    time.Time // the locations of all three are stored, as offsets
	AccessTime time.Time
	ChangeTime time.Time

	UID, GID    uint32
	User, Group string // empty: unknown
	Inode       uint64 // zero: unknown, as with the next three
	DeviceID    uint64 // st_dev of the file system that holds the entry
	Size        uint64 // bytes; regular files only
	Links       uint64 // number of names of the inode

	LinkTarget         string              // raw bytes
	ExtendedAttributes []ExtendedAttribute // in the order the kernel lists them
	// GenericAttributes are attributes of one operating system, as JSON that
	// is kept as it is.
	GenericAttributes map[string]json.RawMessage
	Device            uint64 // st_rdev of a device

	// Content names the data blobs of a file in order. An empty file has an
	// empty list; nil is "no list", which is right for all other types.
	Content []crypto.ID
	Subtree crypto.ID // the tree of a directory; zero: none
	Error   string    // only in very old repositories
}

// ExtendedAttribute is a named value that the file system keeps with a file.
type ExtendedAttribute struct {
	Name  string
	Value []byte
}

// Equal reports whether two nodes say the same. Times are compared as
// instants, whatever their offset; the order of extended attributes does not
// matter. A missing content list differs from an empty one.
func (n *Node) Equal(other *Node) bool {
	return n.Name == other.Name &&
		n.Type == other.Type &&
		n.Mode == other.Mode &&
		n.ModTime.Equal(other.ModTime) &&
		n.AccessTime.Equal(other.AccessTime) &&
		n.ChangeTime.Equal(other.ChangeTime) &&
		n.UID == other.UID && n.GID == other.GID &&
		n.User == other.User && n.Group == other.Group &&
		n.Inode == other.Inode &&
		n.DeviceID == other.DeviceID &&
		n.Size == other.Size &&
		n.Links == other.Links &&
		n.LinkTarget == other.LinkTarget &&
		n.Device == other.Device &&
		n.Subtree == other.Subtree &&
		n.Error == other.Error &&
		(n.Content == nil) == (other.Content == nil) &&
		slices.Equal(n.Content, other.Content) &&
		equalAttributes(n.ExtendedAttributes, other.ExtendedAttributes) &&
		maps.EqualFunc(n.GenericAttributes, other.GenericAttributes,
			func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}

func equalAttributes(a, b []ExtendedAttribute) bool {
	same := func(a, b ExtendedAttribute) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }
	if len(a) != len(b) || slices.EqualFunc(a, b, same) {
		return len(a) == len(b)
	}
	order := func(a, b ExtendedAttribute) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.Value, b.Value))
	}
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, order)
	slices.SortFunc(b, order)
	return slices.EqualFunc(a, b, same)
}

// NameError tells of a name that can't be a directory entry's.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("invalid name %q: not a single path component", e.Name)
}

// CheckName returns a [*NameError] for names that would lead out of their
// directory or nowhere: the empty one, ".", "..", and those with a slash or a
// NUL byte. Decoding lets them pass; whoever makes a path of a name checks it.
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." {
		return &NameError{name}
	}
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return &NameError{name}
		}
	}
	return nil
}

// Validate returns what makes a node unfit to be stored or restored: an
// invalid name (a [*NameError]), an unknown type or one that is never stored,
// a file without a content list, a directory without a tree, and the other
// way round.
func (n *Node) Validate() error {
	if err := CheckName(n.Name); err != nil {
		return err
	}
	switch n.Type {
	case TypeFile, TypeDir, TypeSymlink, TypeDevice, TypeCharDevice, TypeFifo:
	default:
		return fmt.Errorf("node %q: type %q can't be stored", n.Name, n.Type)
	}
	switch {
	case (n.Type == TypeFile) != (n.Content != nil):
		return fmt.Errorf("node %q of type %q: content list missing or out of place", n.Name, n.Type)
	case (n.Type == TypeDir) == n.Subtree.IsZero():
		return fmt.Errorf("node %q of type %q: subtree missing or out of place", n.Name, n.Type)
	}
	return nil
}
