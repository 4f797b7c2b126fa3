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
	node   *tree.Node // nil: the target, whose metadata is left alone

	selected  bool
	used      bool     // something in it, or it itself, is restored
	wanted    []string // names in the snapshot, if extra ones are to be deleted
	keepExtra bool     // wanted is not all: delete nothing

	made    bool  // makeDir was here
	existed bool  // it was there before
	missing bool  // dry run: it is not there and is not made
	err     error // it could not be made; what is in it can't be restored

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
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open(d)
}

func (c *dirCache) open(d *directory) (*osmeta.Dir, error) {
	if d.err != nil {
		return nil, d.err
	}
	if d.handle == nil {
		parent, err := c.open(d.parent)
		if err != nil {
			return nil, err
		}
		d.handle, err = parent.OpenDir(d.name)
		c.drop(d.parent)
		if err != nil {
			return nil, err
		}
	} else if d.elem != nil {
		c.idle.Remove(d.elem)
		d.elem = nil
	}
	d.refs++
	return d.handle, nil
}

func (c *dirCache) release(d *directory) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(d)
}

func (c *dirCache) drop(d *directory) {
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
// a folder is removed, also a link to one.
func (rs *restorer) makeDir(d *directory) {
	if d.made {
		return
	}
	d.made = true
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
