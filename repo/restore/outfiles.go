package restore

import (
	"container/list"
	"errors"
	"io/fs"
	"strings"
	"sync"

	"github.com/garner-backup/garner/repo/internal/osmeta"
)

// maxOpenFiles is how many files are kept open for their next blob.
const maxOpenFiles = 64

// fileCache keeps files of several blobs open from one blob to the next.
type fileCache struct {
	mu   sync.Mutex
	idle *list.List // of *file that are open with no users, least recently used first
}

func newFileCache() *fileCache { return &fileCache{idle: list.New()} }

// take returns the file's handle if it is open. It is good until release.
func (c *fileCache) take(f *file) *osmeta.OutFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.handle == nil {
		return nil
	}
	if f.elem != nil {
		c.idle.Remove(f.elem)
		f.elem = nil
	}
	f.users++
	return f.handle
}

// add hands a file over that was just opened, with one user. The caller sees
// to it that nobody else opens it at the same time.
func (c *fileCache) add(f *file, h *osmeta.OutFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.handle, f.users = h, 1
}

// release ends a use. Where too many files are open, one that nobody uses is
// closed.
func (c *fileCache) release(f *file) {
	c.mu.Lock()
	var idle *file
	var victim *osmeta.OutFile
	if f.users--; f.users == 0 {
		f.elem = c.idle.PushBack(f)
		if c.idle.Len() > maxOpenFiles {
			idle = c.idle.Front().Value.(*file)
			victim = c.forget(idle)
		}
	}
	c.mu.Unlock()
	if victim == nil {
		return
	}
	if err := victim.Close(); err != nil {
		idle.mu.Lock()
		defer idle.mu.Unlock()
		if idle.err == nil {
			idle.err = err
		}
	}
}

// claim takes a file without users out of the cache; the caller closes the
// handle. It is nil if the file is not open.
func (c *fileCache) claim(f *file) *osmeta.OutFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.handle == nil {
		return nil
	}
	return c.forget(f)
}

func (c *fileCache) forget(f *file) *osmeta.OutFile {
	h := f.handle
	c.idle.Remove(f.elem)
	f.handle, f.elem = nil, nil
	return h
}

// close closes what is open when a restore ends early.
func (c *fileCache) close() {
	for c.idle.Len() > 0 {
		_ = c.forget(c.idle.Front().Value.(*file)).Close()
	}
}

// open returns a handle to write to a file, and makes the file if this is its
// first blob. It is errLeft if something is there that is to be left alone.
func (rs *restorer) open(f *file) (*osmeta.OutFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.skipped {
		return nil, errLeft
	}
	if h := rs.files.take(f); h != nil {
		return h, nil
	}
	in, err := rs.dirs.acquire(f.dir)
	if err != nil {
		return nil, err
	}
	defer rs.dirs.release(f.dir)
	h, err := rs.openIn(f, in)
	if err != nil {
		return nil, err
	}
	rs.files.add(f, h)
	return h, nil
}

// openIn opens or makes a file. f.mu is held.
func (rs *restorer) openIn(f *file, in *osmeta.Dir) (*osmeta.OutFile, error) {
	switch f.state {
	case fileExisting:
		return rs.openExisting(f, in)
	case fileStarted:
		return in.OpenForUpdate(f.node.Name)
	}
	h, err := rs.startFile(f, in)
	if !errors.Is(err, fs.ErrExist) || !f.unseen {
		return h, err
	}
	if err := rs.meet(f, in); err != nil {
		return nil, err
	}
	if f.state == fileExisting {
		return rs.openExisting(f, in)
	}
	return rs.startFile(f, in)
}

// errLeft means that a file which is there is left as it is.
var errLeft = errors.New("left alone")

// meet decides about what is in the place of a file that was expected to be
// new, as its folder is. It may be made by another program, or by this
// restore, on a file system for which two names are one.
func (rs *restorer) meet(f *file, in *osmeta.Dir) error {
	f.unseen = false
	if f.twins()[twinKey(f)] > 1 {
		return errTwin
	}
	info, err := in.Lstat(f.node.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case rs.leaves(f, info):
		f.skipped = true
		return errLeft
	case !writable(info):
		return in.Remove(f.node.Name)
	}
	f.state = fileExisting
	return nil
}

var errTwin = errors.New("another file of the snapshot has the same name here")

// twin is what two files have in common whose names may be one. Cheap and
// coarse: it serves to refuse, after their names have collided.
type twin struct {
	dir  *directory
	name string
}

func twinKey(f *file) twin { return twin{f.dir, strings.ToLower(f.node.Name)} }

// countTwins counts the files of a segment by name.
func countTwins(files []*file) map[twin]int {
	counts := make(map[twin]int, len(files))
	for _, f := range files {
		counts[twinKey(f)]++
	}
	return counts
}
