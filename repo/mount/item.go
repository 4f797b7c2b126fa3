package mount

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/snapshot"
)

// item is a place in the View: what a path leads to.
type item struct {
	ino  uint64
	snap uint64   // inode number of the snapshot's root; 0 above snapshots
	top  *topNode // nil in a snapshot, but not for its root
	entry
}

// modeTop is the mode of what is not in a snapshot: nobody can change it.
const modeTop = 0o555

// topItem returns a folder or a link above the snapshots, or the root of one.
func (v *View) topItem(n *topNode) item {
	it := item{ino: n.ino, top: n}
	at := toTimespec(n.time)
	it.entry = entry{
		name: n.name, kind: fs.ModeDir, perm: modeTop,
		owner: &owner{uid: v.opts.UID, gid: v.opts.GID},
		mtime: at, atime: at, ctime: at,
	}
	switch {
	case n.snapshot != nil:
		it.snap = n.ino
		it.id = treeOf(n.snapshot)
	case n.target != "":
		it.kind, it.perm = fs.ModeSymlink, 0o777
		it.extra = &extra{target: n.target}
	}
	return it
}

func treeOf(sn *snapshot.Snapshot) (id crypto.ID) {
	if sn.Tree != nil {
		id = *sn.Tree
	}
	return id
}

// treeItem returns an entry of a folder in a snapshot.
func (v *View) treeItem(folder *item, e *entry) item {
	it := item{snap: folder.snap, entry: *e}
	if e.kind == 0 {
		it.size = v.realSize(e)
	}
	if e.links > 1 && e.kind != fs.ModeDir && e.extra != nil && e.extra.inode != 0 {
		it.ino = linkInode(folder.snap, e)
	} else {
		it.ino = childInode(folder.ino, e.name)
	}
	if v.opts.OwnerRoot {
		it.owner = &rootOwner
	}
	return it
}

// summedBlobs is up to how many blobs a file may have for its size to be
// looked up. The size of a larger one is believed.
const summedBlobs = 1024

// realSize returns the size of a file's content: in a damaged repository it
// may be another than the file's entry says, and the kernel would cut off what
// is more. If a blob is missing, the entry is all there is.
func (v *View) realSize(e *entry) uint64 {
	if len(e.blobs) > summedBlobs {
		return e.size
	}
	if e.blobs == nil && !e.id.IsZero() {
		return v.sum(e.size, e.id)
	}
	return v.sum(e.size, e.blobs...)
}

// sum returns the length of all blobs, or otherwise if one is missing.
func (v *View) sum(otherwise uint64, ids ...crypto.ID) (size uint64) {
	for _, id := range ids {
		n, ok := v.repo.Index().PlaintextLength(dataHandle(id))
		if !ok {
			return otherwise
		}
		size += uint64(n)
	}
	return size
}

// nlink returns the number of links. How many folders a folder has is in its
// own tree, which must not be loaded for this: one link means that the number
// does not tell.
func (it *item) nlink() uint32 {
	if it.kind == fs.ModeDir {
		return 1
	}
	return max(it.links, 1)
}

// rootOwner owns everything with OwnerRoot. It is never written.
var rootOwner owner

// errNotFolder means that there is no folder where one was looked for.
var errNotFolder = errors.New("not a folder")

// folder is the content of a folder.
type folder struct {
	view *View
	item item
	list *listing // nil above snapshots
}

// open loads a folder's list of entries.
func (v *View) open(ctx context.Context, it *item) (*folder, error) {
	if it.kind != fs.ModeDir {
		return nil, errNotFolder
	}
	if err := v.closed(); err != nil {
		return nil, err
	}
	f := &folder{view: v, item: *it}
	if it.snap == 0 {
		return f, nil
	}
	if it.id.IsZero() {
		return nil, errors.New("folder without a tree")
	}
	var err error
	f.list, err = v.trees.get(ctx, it.id)
	return f, err
}

// len returns the number of entries.
func (f *folder) len() int {
	if f.list == nil {
		return len(f.item.top.names)
	}
	return len(f.list.entries)
}

// at returns an entry. They are sorted by name.
func (f *folder) at(i int) item {
	if f.list == nil {
		return f.view.topItem(f.item.top.children[f.item.top.names[i]])
	}
	return f.view.treeItem(&f.item, &f.list.entries[i])
}

// find returns the entry of a name.
func (f *folder) find(name string) (item, bool) {
	if f.list == nil {
		n, ok := f.item.top.children[name]
		if !ok {
			return item{}, false
		}
		return f.view.topItem(n), true
	}
	e := f.list.find(name)
	if e == nil {
		return item{}, false
	}
	return f.view.treeItem(&f.item, e), true
}

// root returns the View's root as it is now.
func (v *View) root(ctx context.Context) item { return v.topItem(v.current(ctx)) }

// maxLinks is how many symbolic links a path may lead through.
const maxLinks = 40

var (
	errTooManyLinks = errors.New("too many symbolic links")
	errLeavesView   = errors.New("symbolic link leads out of the file system")
)

// resolve returns what a path leads to. Symbolic links on the way are
// followed, one at the end if follow is set.
func (v *View) resolve(ctx context.Context, p string, follow bool) (item, error) {
	way := []item{v.root(ctx)}
	links := 0
	for rest := p; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		here := &way[len(way)-1]
		switch name {
		case "", ".":
			continue
		case "..":
			if len(way) == 1 {
				return item{}, errLeavesView
			}
			way = way[:len(way)-1]
			continue
		}
		dir, err := v.open(ctx, here)
		if errors.Is(err, errNotFolder) {
			return item{}, fs.ErrNotExist
		}
		if err != nil {
			return item{}, err
		}
		it, ok := dir.find(name)
		if !ok {
			return item{}, fs.ErrNotExist
		}
		if it.kind == fs.ModeSymlink && (follow || rest != "") {
			if links++; links > maxLinks {
				return item{}, errTooManyLinks
			}
			if strings.HasPrefix(it.target(), "/") {
				return item{}, errLeavesView
			}
			rest = strings.TrimSuffix(it.target()+"/"+rest, "/")
			continue
		}
		way = append(way, it)
	}
	return way[len(way)-1], nil
}
