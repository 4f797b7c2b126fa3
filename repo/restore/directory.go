package restore

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/garner-backup/garner/repo/internal/osmeta"
	"github.com/garner-backup/garner/repo/tree"
)

// directory is a folder of the snapshot and its counterpart on the disk.
type directory struct {
	parent *directory // nil: the target
	name   string
	path   string     // in the snapshot, with a slash in front; empty for the target
	depth  int        // below the target
	node   *tree.Node // nil: the target, whose metadata is left alone

	selected  bool
	used      bool     // something in it, or it itself, is restored
	wanted    []string // names in the snapshot, if extra ones are to be deleted
	keepExtra bool     // wanted is not all: delete nothing

	making  sync.Once
	existed bool  // it was there before
	missing bool  // dry run: it is not there and is not made
	err     error // it could not be made; what is in it can't be restored

	opening sync.Mutex // held while handle is opened; never taken with dirCache.mu held
	// Owned by dirCache.mu:
	handle *osmeta.Dir // nil: not open now
	refs   int
	elem   *list.Element // in dirCache.idle
}

func (d *directory) shown() string {
	if d.path == "" {
		return "/"
	}
	return d.path
}

// fresh reports whether this restore has made the folder, so that hardly
// anything is in it that this restore has not put there. makeDir comes first.
func (d *directory) fresh() bool { return d.node != nil && !d.existed && !d.missing }

// maxOpenDirs is how many folders are kept open for what is next done there.
const maxOpenDirs = 256

// dirCache opens folders, each relative to its parent, and keeps them open
// for a while.
type dirCache struct {
	mu   sync.Mutex
	idle *list.List // of *directory that are open with no refs, least recently used first
}

func newDirCache() *dirCache { return &dirCache{idle: list.New()} }

// acquire opens a folder that exists. The handle is good until release.
func (c *dirCache) acquire(d *directory) (*osmeta.Dir, error) {
	if d.err != nil {
		return nil, d.err
	}
	if h := c.take(d); h != nil {
		return h, nil
	}
	d.opening.Lock()
	defer d.opening.Unlock()
	if h := c.take(d); h != nil {
		return h, nil
	}
	parent, err := c.acquire(d.parent)
	if err != nil {
		return nil, err
	}
	defer c.release(d.parent)
	h, err := parent.OpenDir(d.name)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d.handle, d.refs = h, 1
	return h, nil
}

// take returns the handle of a folder that is open.
func (c *dirCache) take(d *directory) *osmeta.Dir {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.handle == nil {
		return nil
	}
	if d.elem != nil {
		c.idle.Remove(d.elem)
		d.elem = nil
	}
	d.refs++
	return d.handle
}

func (c *dirCache) release(d *directory) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.refs--; d.refs > 0 || d.parent == nil {
		return
	}
	d.elem = c.idle.PushBack(d)
	if c.idle.Len() > maxOpenDirs {
		c.shut(c.idle.Front())
	}
}

func (c *dirCache) shut(e *list.Element) {
	d := c.idle.Remove(e).(*directory)
	d.handle.Close()
	d.handle, d.elem = nil, nil
}

func (c *dirCache) close() {
	for c.idle.Len() > 0 {
		c.shut(c.idle.Front())
	}
}

// makeDir makes a folder and those above it. What is in its place and is not
// a folder is removed, also a link to one. It may be called by several
// goroutines, and returns when the folder is there or d.err is set.
func (rs *restorer) makeDir(d *directory) {
	if d.parent == nil {
		return
	}
	d.making.Do(func() { rs.makeDirOnce(d) })
}

func (rs *restorer) makeDirOnce(d *directory) {
	rs.makeDir(d.parent)
	switch p := d.parent; {
	case p.err != nil:
		d.err = p.err
	case p.missing:
		d.missing = true
	default:
		if d.err = rs.makeDirIn(p, d); d.err != nil {
			d.err = fmt.Errorf("make folder: %w", d.err)
			rs.fail(d.path, d.err)
		}
	}
}

func (rs *restorer) makeDirIn(parent, d *directory) error {
	in, err := rs.dirs.acquire(parent)
	if err != nil {
		return err
	}
	defer rs.dirs.release(parent)
	if parent.fresh() && !rs.opts.DryRun {
		// Most likely there is nothing yet: trying is cheaper than looking.
		if err := in.Mkdir(d.name, 0o700); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	info, err := in.Lstat(d.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		d.existed = true
		return nil
	case rs.opts.Overwrite == OverwriteNever:
		return errors.New("another item has its name, and nothing is to be overwritten")
	case !rs.opts.DryRun:
		if err := in.Remove(d.name); err != nil {
			return err
		}
	}
	if rs.opts.DryRun {
		d.missing = true
		return nil
	}
	return in.Mkdir(d.name, 0o700) // finishDir widens it
}
