package mount

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/tree"
)

// entry is a node in about half the memory: folders may have a million.
type entry struct {
	name string
	kind fs.FileMode // type bits
	perm uint16      // permissions with setuid, setgid and sticky, as in Unix
	// owner is shared by the entries of a folder that have the same.
	owner               *owner
	mtime, atime, ctime timespec

	size  uint64
	links uint32
	id    crypto.ID   // of a folder's tree, or of a file's only blob
	blobs []crypto.ID // of a file that has several; nil: id, unless size is 0
	extra *extra      // nil: nothing out of the ordinary
}

type owner struct {
	uid, gid    uint32
	user, group string
}

type timespec struct {
	sec  int64
	nsec int32
}

func toTimespec(t time.Time) timespec { return timespec{t.Unix(), int32(t.Nanosecond())} }

func (t timespec) time() time.Time { return time.Unix(t.sec, int64(t.nsec)) }

// extra is what few nodes have.
type extra struct {
	inode, deviceID uint64 // of a file with several names
	device          uint64
	target          string
	xattrs          []tree.ExtendedAttribute
	generic         map[string]json.RawMessage
}

// kindOf returns the type bits for a type of node. What it does not know is
// irregular: it is shown, and can't be read.
func kindOf(t tree.NodeType) fs.FileMode {
	switch t {
	case tree.TypeFile:
		return 0
	case tree.TypeDir:
		return fs.ModeDir
	case tree.TypeSymlink:
		return fs.ModeSymlink
	case tree.TypeDevice:
		return fs.ModeDevice
	case tree.TypeCharDevice:
		return fs.ModeDevice | fs.ModeCharDevice
	case tree.TypeFifo:
		return fs.ModeNamedPipe
	case tree.TypeSocket:
		return fs.ModeSocket
	}
	return fs.ModeIrregular
}

func typeOf(kind fs.FileMode) tree.NodeType {
	switch kind {
	case 0:
		return tree.TypeFile
	case fs.ModeDir:
		return tree.TypeDir
	case fs.ModeSymlink:
		return tree.TypeSymlink
	case fs.ModeDevice:
		return tree.TypeDevice
	case fs.ModeDevice | fs.ModeCharDevice:
		return tree.TypeCharDevice
	case fs.ModeNamedPipe:
		return tree.TypeFifo
	case fs.ModeSocket:
		return tree.TypeSocket
	}
	return tree.TypeIrregular
}

const (
	unixSetuid = 0o4000
	unixSetgid = 0o2000
	unixSticky = 0o1000
)

func toPerm(m fs.FileMode) uint16 {
	perm := uint16(m.Perm())
	if m&fs.ModeSetuid != 0 {
		perm |= unixSetuid
	}
	if m&fs.ModeSetgid != 0 {
		perm |= unixSetgid
	}
	if m&fs.ModeSticky != 0 {
		perm |= unixSticky
	}
	return perm
}

func (e *entry) mode() fs.FileMode {
	m := e.kind | fs.FileMode(e.perm).Perm()
	if e.perm&unixSetuid != 0 {
		m |= fs.ModeSetuid
	}
	if e.perm&unixSetgid != 0 {
		m |= fs.ModeSetgid
	}
	if e.perm&unixSticky != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// target returns where a symbolic link leads.
func (e *entry) target() string {
	if e.extra == nil {
		return ""
	}
	return e.extra.target
}

// length is the size that stat tells.
func (e *entry) length() int64 {
	switch e.kind {
	case 0:
		return int64(e.size)
	case fs.ModeSymlink:
		return int64(len(e.target()))
	}
	return 0
}

// content returns a file's blobs. The caller must not change them.
func (e *entry) content() []crypto.ID {
	if e.blobs == nil && !e.id.IsZero() {
		return []crypto.ID{e.id}
	}
	return e.blobs
}

// node returns all that is known, as it is stored.
func (e *entry) node() *tree.Node {
	n := &tree.Node{
		Name: e.name, Type: typeOf(e.kind), Mode: e.mode(),
		ModTime: e.mtime.time(), AccessTime: e.atime.time(), ChangeTime: e.ctime.time(),
		UID: e.owner.uid, GID: e.owner.gid, User: e.owner.user, Group: e.owner.group,
		Size: e.size, Links: uint64(e.links),
	}
	if x := e.extra; x != nil {
		n.Inode, n.DeviceID, n.Device = x.inode, x.deviceID, x.device
		n.LinkTarget, n.ExtendedAttributes, n.GenericAttributes = x.target, x.xattrs, x.generic
	}
	switch e.kind {
	case 0:
		n.Content = append([]crypto.ID{}, e.content()...)
	case fs.ModeDir:
		n.Subtree = e.id
	}
	return n
}

// listing is a decoded tree.
type listing struct {
	entries []entry // sorted by name, no name twice
}

// find returns the entry of a name, or nil.
func (l *listing) find(name string) *entry {
	i, ok := slices.BinarySearchFunc(l.entries, name, func(e entry, name string) int { return strings.Compare(e.name, name) })
	if !ok {
		return nil
	}
	return &l.entries[i]
}

// loadListing decodes a tree.
func (v *View) loadListing(ctx context.Context, id crypto.ID) (*listing, int64, error) {
	b := listingBuilder{view: v}
	if err := b.add(ctx, id, 0); err != nil {
		if ctx.Err() == nil {
			v.opts.Report(err)
		}
		return nil, 0, err
	}
	l := b.finish()
	return l, b.size + int64(cap(l.entries))*int64(unsafe.Sizeof(entry{})), nil
}

// listingBuilder makes a listing of a tree's nodes.
type listingBuilder struct {
	view     *View
	list     listing
	size     int64 // of what entries refer to, about
	unsorted bool
	owner    *owner // of the last entry
}

// maxNested is how many levels of folders without a name are looked through.
const maxNested = 8

// maxName is the longest name, in bytes, that FUSE passes on. A longer one
// would make the whole folder unreadable.
const maxName = 1024

func (b *listingBuilder) add(ctx context.Context, id crypto.ID, nested int) error {
	nodes, err := b.view.repo.LoadTree(ctx, id)
	if err != nil {
		return fmt.Errorf("folder %s: %w", id.Short(), err)
	}
	defer nodes.Close()
	var n tree.Node
	for {
		// The memory of its lists must not be used again: entries refer to it.
		n.ExtendedAttributes = nil
		if len(n.Content) > 1 {
			n.Content = nil
		}
		err := nodes.Next(&n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("folder %s: %w", id.Short(), err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// Very old programs put what was saved into a folder of that name.
		if n.Type == tree.TypeDir && (n.Name == "." || n.Name == "/") && nested < maxNested {
			b.unsorted = true
			if err := b.add(ctx, n.Subtree, nested+1); err != nil {
				return err
			}
			continue
		}
		if err := tree.CheckName(n.Name); err != nil {
			b.view.opts.Report(fmt.Errorf("folder %s: not shown: %w", id.Short(), err))
			continue
		}
		if len(n.Name) > maxName {
			b.view.opts.Report(fmt.Errorf("folder %s: not shown: a name of %d bytes", id.Short(), len(n.Name)))
			continue
		}
		b.enter(&n)
	}
}

// enter appends a node.
func (b *listingBuilder) enter(n *tree.Node) {
	if k := len(b.list.entries); k > 0 && b.list.entries[k-1].name >= n.Name {
		b.unsorted = true
	}
	if o := b.owner; o == nil || o.uid != n.UID || o.gid != n.GID || o.user != n.User || o.group != n.Group {
		b.owner = &owner{n.UID, n.GID, n.User, n.Group}
		b.size += int64(unsafe.Sizeof(owner{}))
	}
	e := entry{
		name: n.Name, kind: kindOf(n.Type), perm: toPerm(n.Mode), owner: b.owner,
		mtime: toTimespec(n.ModTime), atime: toTimespec(n.AccessTime), ctime: toTimespec(n.ChangeTime),
		size: n.Size, links: uint32(min(n.Links, 1<<32-1)),
	}
	b.size += int64(len(n.Name))
	switch {
	case n.Type == tree.TypeDir:
		e.id = n.Subtree
	case len(n.Content) == 1:
		e.id = n.Content[0]
	case len(n.Content) > 1:
		e.blobs = n.Content
		b.size += int64(cap(n.Content)) * int64(len(crypto.ID{}))
	}
	e.extra = b.extraOf(n)
	b.list.entries = append(b.list.entries, e)
}

func (b *listingBuilder) extraOf(n *tree.Node) *extra {
	x := extra{device: n.Device, target: n.LinkTarget, xattrs: n.ExtendedAttributes, generic: n.GenericAttributes}
	if n.Links > 1 {
		x.inode, x.deviceID = n.Inode, n.DeviceID
	}
	if x.inode == 0 && x.device == 0 && x.target == "" && len(x.xattrs) == 0 && len(x.generic) == 0 {
		return nil
	}
	b.size += int64(unsafe.Sizeof(x)) + int64(len(x.target))
	for _, a := range x.xattrs {
		b.size += int64(unsafe.Sizeof(a)) + int64(len(a.Name)+len(a.Value))
	}
	for name, value := range x.generic {
		b.size += int64(len(name) + len(value))
	}
	return &x
}

// finish sorts the entries if they are not. Of several with the same name the
// last one stays.
func (b *listingBuilder) finish() *listing {
	l := &b.list
	if !b.unsorted {
		return l
	}
	slices.Reverse(l.entries)
	slices.SortStableFunc(l.entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	l.entries = slices.CompactFunc(l.entries, func(a, b entry) bool { return a.name == b.name })
	return l
}

// Inode numbers are hashes, so that they are the same each time the repository
// is mounted. They begin with the ID of the repository: who does not know that
// can't choose names that collide.

func rootInode(id crypto.ID) uint64 { return toInode(crypto.Hash(append([]byte("root"), id[:]...))) }

// childInode is the number of an entry of a folder.
func childInode(parent uint64, name string) uint64 {
	b := make([]byte, 8, 128)
	binary.LittleEndian.PutUint64(b, parent)
	return toInode(crypto.Hash(append(b, name...)))
}

// linkInode is the number that all names of a file in a snapshot have. Names
// that were read at different times and have different content are different
// files here, as programs read one of several names only.
func linkInode(snapshotRoot uint64, e *entry) uint64 {
	b := make([]byte, 0, 128)
	for _, n := range []uint64{snapshotRoot, e.extra.deviceID, e.extra.inode, e.size, uint64(len(e.blobs))} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = append(b, e.id[:]...)
	if len(e.blobs) > 0 {
		b = append(b, e.blobs[0][:]...)
	}
	return toInode(crypto.Hash(b))
}

// toInode takes a number that means nothing special to a kernel.
func toInode(h crypto.ID) uint64 {
	n := binary.LittleEndian.Uint64(h[:8])
	if n <= 1 || n == 1<<64-1 {
		n = 2
	}
	return n
}
