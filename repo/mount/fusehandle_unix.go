//go:build linux || darwin || freebsd

package mount

import (
	"context"
	"io"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// dirHandle is a folder that is being listed. What it shows is what there was
// when it was opened. The kernel uses it by one thread at a time.
type dirHandle struct {
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
	return enter(ctx, d.folder.view, d.node, &it, out), 0
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

var _ fusefs.FileReader = (*fileHandle)(nil)

// checkedBlobs is up to how many blobs a file's size is checked when it is
// opened.
const checkedBlobs = 4096

// Open opens a file. What the kernel has of its content stays valid.
func (n *treeNode) Open(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return nil, 0, syscall.EROFS
	}
	if n.item.kind != 0 {
		return nil, 0, syscall.EIO // irregular in the tree
	}
	ids := n.item.content()
	r := n.view.newReader(ids)
	how := uint32(fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH)
	// The kernel goes by the size that stat tells. In a damaged repository
	// the content may have another: then it asks for each byte. A missing blob
	// is seen when somebody gets there.
	if len(ids) <= checkedBlobs {
		if size, err := r.size(); err == nil && size != n.item.length() {
			how |= fuse.FOPEN_DIRECT_IO
		}
	}
	return &fileHandle{r}, how, 0
}

// Read returns content without copying it.
func (h *fileHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	b, err := h.reader.slice(ctx, off, len(dest))
	if err == io.EOF {
		return fuse.ReadResultData(nil), 0
	}
	if err != nil {
		return nil, errno(err)
	}
	if len(b) == len(dest) {
		return fuse.ReadResultData(b), 0
	}
	done := copy(dest, b)
	n, err := h.reader.readAt(ctx, dest[done:], off+int64(done))
	if err != nil && err != io.EOF {
		return nil, errno(err)
	}
	return fuse.ReadResultData(dest[:done+n]), 0
}
