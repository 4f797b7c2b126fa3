//go:build linux || darwin || freebsd

package mount

import (
	"container/list"
	"context"
	"io"
	"sync"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// dirHandle is a folder that is being listed. What it shows is what there was
// when it was opened. The kernel uses it by one thread at a time.
type dirHandle struct {
	view   *mounted
	node   *fusefs.Inode
	folder *folder
	parent uint64 // inode number of the folder above
	next   int    // of the entries, which begin with "." and ".."
	last   item   // that Readdirent returned
}

var (
	_ fusefs.FileReaddirenter = (*dirHandle)(nil)
	_ fusefs.FileLookuper     = (*dirHandle)(nil)
	_ fusefs.FileSeekdirer    = (*dirHandle)(nil)
)

// dots is how many entries are not those of the folder.
const dots = 2

// Readdirent returns the next entry, or nil.
func (d *dirHandle) Readdirent(context.Context) (*fuse.DirEntry, syscall.Errno) {
	if d.next >= d.folder.len()+dots {
		return nil, 0
	}
	i := d.next
	d.next++
	e := &fuse.DirEntry{Mode: syscall.S_IFDIR, Off: uint64(d.next)}
	switch i {
	case 0:
		e.Name, e.Ino = ".", d.node.StableAttr().Ino
	case 1:
		e.Name, e.Ino = "..", d.parent
	default:
		d.last = d.folder.at(i - dots)
		e.Name, e.Ino, e.Mode = d.last.name, d.last.ino, fileType(d.last.kind)
	}
	return e, 0
}

// Lookup makes the inode of the entry that Readdirent returned last: a folder
// is listed with all that stat tells in one go.
func (d *dirHandle) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	it := d.last
	if it.name != name {
		var ok bool
		if it, ok = d.folder.find(name); !ok {
			return nil, syscall.ENOENT
		}
	}
	return enter(ctx, d.view, d.node, &it, out), 0
}

// Seekdir goes to where Off of an entry was.
func (d *dirHandle) Seekdir(_ context.Context, off uint64) syscall.Errno {
	if off > uint64(d.folder.len()+dots) {
		return syscall.EINVAL
	}
	d.next = int(off)
	return 0
}

// fileHandle is a file that is being read.
type fileHandle struct{ reader *reader }

var (
	_ fusefs.FileReader = (*fileHandle)(nil)
	_ fusefs.NodeOpener = (*treeNode)(nil)
	_ fusefs.NodeReader = (*treeNode)(nil)
)

// Open opens a file. What the kernel has of its content stays valid. A kernel
// that can do without is told so once, and from then on neither opens nor
// closes files: for a small file that is most of the work.
func (n *treeNode) Open(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return nil, 0, syscall.EROFS
	}
	if n.view.unopened.Load() {
		return nil, 0, syscall.ENOSYS
	}
	return &fileHandle{n.view.newReader(n.item.content())}, fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH, 0
}

// Read reads an open file.
func (h *fileHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return readResult(ctx, h.reader, len(dest), off)
}

// Read reads a file that is open or not.
func (n *treeNode) Read(ctx context.Context, h fusefs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if n.item.kind != 0 {
		return nil, syscall.EIO // irregular in the tree
	}
	if h, ok := h.(*fileHandle); ok {
		return readResult(ctx, h.reader, len(dest), off)
	}
	return readResult(ctx, n.view.readers.of(n), len(dest), off)
}

// readResult collects content without copying it.
func readResult(ctx context.Context, r *reader, n int, off int64) (fuse.ReadResult, syscall.Errno) {
	var pieces [][]byte
	for n > 0 {
		b, err := r.slice(ctx, off, n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, errno(err)
		}
		pieces = append(pieces, b)
		off += int64(len(b))
		n -= len(b)
	}
	return fuse.ReadResultVector(pieces), 0
}

// maxReaders is of how many files that are not open it is remembered how far
// they were read.
const maxReaders = 64

// readers has the readers of files that the kernel does not open.
type readers struct {
	mu    sync.Mutex
	order list.List // of *nodeReader, last used first; owned by mu
}

type nodeReader struct {
	node   *treeNode
	reader *reader
}

// of returns the reader of a node.
func (r *readers) of(n *treeNode) *reader {
	ids := n.item.content()
	if len(ids) <= 1 {
		return n.view.newReader(ids) // there is nothing to remember
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.elem != nil {
		r.order.MoveToFront(n.elem)
		return n.elem.Value.(*nodeReader).reader
	}
	nr := &nodeReader{n, n.view.newReader(ids)}
	n.elem = r.order.PushFront(nr)
	if r.order.Len() > maxReaders {
		r.order.Remove(r.order.Back()).(*nodeReader).node.elem = nil
	}
	return nr.reader
}
