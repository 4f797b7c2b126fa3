//go:build linux || darwin || freebsd

package mount

import (
	"container/list"
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Inodes of the kernel have one of three kinds of nodes: folderNode and
// latestNode are above the snapshots and look up what they are each time they
// are asked, treeNode never changes.

// mounted is a View behind FUSE.
type mounted struct {
	*View
	readers readers
	// unopened is set when the kernel can do without opening files.
	unopened atomic.Bool
}

// folderNode is a folder above the snapshots.
type folderNode struct {
	fusefs.Inode
	view *mounted
	path string
}

// latestNode is a link above the snapshots.
type latestNode struct {
	fusefs.Inode
	view *mounted
	path string
}

// treeNode is a snapshot's root or something in a snapshot.
type treeNode struct {
	fusefs.Inode
	view *mounted
	item item
	elem *list.Element // of view.readers, which owns it
}

var (
	_ fusefs.NodeGetattrer      = (*folderNode)(nil)
	_ fusefs.NodeLookuper       = (*folderNode)(nil)
	_ fusefs.NodeOpendirHandler = (*folderNode)(nil)
	_ fusefs.NodeAccesser       = (*folderNode)(nil)
	_ fusefs.NodeStatfser       = (*folderNode)(nil)
	_ fusefs.NodeGetattrer      = (*latestNode)(nil)
	_ fusefs.NodeReadlinker     = (*latestNode)(nil)
	_ fusefs.NodeAccesser       = (*latestNode)(nil)
	_ fusefs.NodeStatfser       = (*latestNode)(nil)
	_ fusefs.NodeGetattrer      = (*treeNode)(nil)
	_ fusefs.NodeLookuper       = (*treeNode)(nil)
	_ fusefs.NodeOpendirHandler = (*treeNode)(nil)
	_ fusefs.NodeReadlinker     = (*treeNode)(nil)
	_ fusefs.NodeGetxattrer     = (*treeNode)(nil)
	_ fusefs.NodeListxattrer    = (*treeNode)(nil)
	_ fusefs.NodeAccesser       = (*treeNode)(nil)
	_ fusefs.NodeStatfser       = (*treeNode)(nil)
)

// errno returns what the kernel is told about an error.
func errno(err error) syscall.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, fs.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, errNotFolder):
		return syscall.ENOTDIR
	case errors.Is(err, context.Canceled): // of the request
		return syscall.EINTR
	}
	return syscall.EIO
}

// fileType returns the type bits of a mode as Unix has them.
func fileType(kind fs.FileMode) uint32 {
	switch kind {
	case fs.ModeDir:
		return syscall.S_IFDIR
	case fs.ModeSymlink:
		return syscall.S_IFLNK
	case fs.ModeDevice:
		return syscall.S_IFBLK
	case fs.ModeDevice | fs.ModeCharDevice:
		return syscall.S_IFCHR
	case fs.ModeNamedPipe:
		return syscall.S_IFIFO
	case fs.ModeSocket:
		return syscall.S_IFSOCK
	}
	return syscall.S_IFREG
}

// setAttr fills in what stat tells.
func (it *item) setAttr(a *fuse.Attr) {
	a.Ino = it.ino
	a.Mode = fileType(it.kind) | uint32(it.perm)
	a.Nlink = it.nlink()
	a.Owner = fuse.Owner{Uid: it.owner.uid, Gid: it.owner.gid}
	a.Size = uint64(it.length())
	a.Blocks = (a.Size + 511) / 512
	setBlockSize(a)
	if it.kind&fs.ModeDevice != 0 && it.extra != nil {
		a.Rdev = toDevice(it.extra.device)
	}
	a.Mtime, a.Mtimensec = uint64(it.mtime.sec), uint32(it.mtime.nsec)
	a.Atime, a.Atimensec = uint64(it.atime.sec), uint32(it.atime.nsec)
	a.Ctime, a.Ctimensec = uint64(it.ctime.sec), uint32(it.ctime.nsec)
}

func (it *item) timeout() time.Duration {
	if it.top != nil {
		return topTimeout
	}
	return treeTimeout
}

// enter makes the inode of an entry of a folder.
func enter(ctx context.Context, v *mounted, parent *fusefs.Inode, it *item, out *fuse.EntryOut) *fusefs.Inode {
	it.setAttr(&out.Attr)
	out.SetEntryTimeout(it.timeout())
	out.SetAttrTimeout(it.timeout())
	var node fusefs.InodeEmbedder
	switch {
	case it.snap != 0:
		node = &treeNode{view: v, item: *it}
	case it.kind == fs.ModeSymlink:
		node = &latestNode{view: v, path: it.top.path}
	default:
		node = &folderNode{view: v, path: it.top.path}
	}
	return parent.NewInode(ctx, node, fusefs.StableAttr{Mode: fileType(it.kind), Ino: it.ino})
}

// now returns what the node is at present.
func (n *folderNode) now(ctx context.Context) (*topNode, syscall.Errno) {
	return topNow(ctx, n.view, n.path)
}

func topNow(ctx context.Context, v *mounted, path string) (*topNode, syscall.Errno) {
	if v.closed() != nil {
		return nil, syscall.EIO
	}
	if t := v.current(ctx).find(path); t != nil {
		return t, 0
	}
	return nil, syscall.ENOENT
}

func (n *folderNode) Getattr(ctx context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return topAttr(ctx, n.view, n.path, out)
}

func topAttr(ctx context.Context, v *mounted, path string, out *fuse.AttrOut) syscall.Errno {
	t, e := topNow(ctx, v, path)
	if e == 0 {
		it := v.topItem(t)
		it.setAttr(&out.Attr)
		out.SetTimeout(topTimeout)
	}
	return e
}

func (n *folderNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	t, e := n.now(ctx)
	if e == 0 {
		c := t.children[name]
		if c != nil {
			it := n.view.topItem(c)
			return enter(ctx, n.view, &n.Inode, &it, out), 0
		}
		e = syscall.ENOENT
	}
	out.SetEntryTimeout(1) // a nanosecond: it may be there soon
	return nil, e
}

func (n *folderNode) OpendirHandle(ctx context.Context, _ uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	t, e := n.now(ctx)
	if e != 0 {
		return nil, 0, e
	}
	if !t.isFolder() {
		return nil, 0, syscall.ENOTDIR
	}
	it := n.view.topItem(t)
	f, err := n.view.open(ctx, &it)
	return &dirHandle{view: n.view, node: &n.Inode, folder: f, parent: t.parent}, 0, errno(err)
}

func (n *latestNode) Getattr(ctx context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return topAttr(ctx, n.view, n.path, out)
}

func (n *latestNode) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	t, e := topNow(ctx, n.view, n.path)
	if e == 0 && t.target == "" {
		e = syscall.EINVAL
	}
	if e != 0 {
		return nil, e
	}
	return []byte(t.target), 0
}

func (n *treeNode) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.item.setAttr(&out.Attr)
	out.SetTimeout(n.item.timeout())
	return 0
}

func (n *treeNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	f, err := n.view.open(ctx, &n.item)
	if err != nil {
		return nil, errno(err)
	}
	it, ok := f.find(name)
	if !ok {
		return nil, syscall.ENOENT
	}
	return enter(ctx, n.view, &n.Inode, &it, out), 0
}

func (n *treeNode) OpendirHandle(ctx context.Context, _ uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	f, err := n.view.open(ctx, &n.item)
	if err != nil {
		return nil, 0, errno(err)
	}
	parent := n.item.ino
	if _, p := n.Parent(); p != nil {
		parent = p.StableAttr().Ino
	}
	return &dirHandle{view: n.view, node: &n.Inode, folder: f, parent: parent}, fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE, 0
}

func (n *treeNode) Readlink(context.Context) ([]byte, syscall.Errno) {
	return []byte(n.item.target()), 0
}

func (n *treeNode) Getxattr(_ context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	if x := n.item.extra; x != nil {
		for _, a := range x.xattrs {
			if a.Name == name {
				return copyOut(dest, a.Value)
			}
		}
	}
	return 0, fusefs.ENOATTR
}

func (n *treeNode) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	var names []byte
	if x := n.item.extra; x != nil {
		for _, a := range x.xattrs {
			names = append(append(names, a.Name...), 0)
		}
	}
	return copyOut(dest, names)
}

// copyOut answers a caller who may only want to know the size.
func copyOut(dest, value []byte) (uint32, syscall.Errno) {
	if len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	copy(dest, value)
	return uint32(len(value)), 0
}

// The kernel checks permissions if it was told to (default_permissions);
// otherwise whoever may use the mount sees everything.
func (n *folderNode) Access(context.Context, uint32) syscall.Errno { return 0 }
func (n *latestNode) Access(context.Context, uint32) syscall.Errno { return 0 }
func (n *treeNode) Access(context.Context, uint32) syscall.Errno   { return 0 }

func (n *folderNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno { return statfs(out) }
func (n *latestNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno { return statfs(out) }
func (n *treeNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno   { return statfs(out) }

// statfs tells of no space, used or free: programs divide by the block size.
func statfs(out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	return 0
}
