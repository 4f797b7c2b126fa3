package osmeta

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"sync"

	"github.com/garner-backup/garner/repo/tree"
)

// Dir is an open directory that items are restored into. Its methods take the
// names of entries, and reach nothing outside of the directory, whatever
// symbolic links there are or appear.
type Dir struct {
	*os.Root
	self *os.File // the directory itself, for calls that os.Root lacks
	born born
}

// errReplaced means that something other than a regular file took a file's
// place while it was being restored.
var errReplaced = errors.New("is not a regular file any more")

// OpenDir opens the directory at path. A symbolic link at path is followed.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return newDir(root)
}

func newDir(root *os.Root) (*Dir, error) {
	self, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	return &Dir{Root: root, self: self}, nil
}

// OpenDir opens the directory name in d. A symbolic link is refused.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	root, err := d.Root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	// OpenRoot follows links that stay inside. Compared after opening, a
	// link that is put there later changes nothing.
	opened, err := root.Stat(".")
	var entry fs.FileInfo
	if err == nil {
		entry, err = d.Lstat(name)
	}
	if err == nil && !os.SameFile(opened, entry) {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("is a symbolic link, not a directory")}
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return newDir(root)
}

// Close closes the directory.
func (d *Dir) Close() error {
	return errors.Join(d.self.Close(), d.Root.Close())
}

// ReadDir lists the entries, in no particular order.
func (d *Dir) ReadDir() ([]fs.DirEntry, error) {
	f, err := d.Open(".") // self's position is shared
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// ApplyOptions say which metadata Apply sets.
type ApplyOptions struct {
	Owner       *OwnerLookup
	SelectXattr func(name string) bool // nil: all
}

func (o *ApplyOptions) selects(xattr string) bool {
	return o.SelectXattr == nil || o.SelectXattr(xattr)
}

// OwnerLookup finds the numbers of users and groups on this system. It is
// safe for concurrent use.
type OwnerLookup struct {
	byName bool
	root   bool // the process may give files away

	mu     sync.Mutex
	users  map[string]uint32 // owned by mu
	groups map[string]uint32 // owned by mu
}

// NewOwnerLookup returns a lookup that takes the numbers that are stored, or,
// with byName, those that the stored names have here.
func NewOwnerLookup(byName bool) *OwnerLookup {
	return &OwnerLookup{
		byName: byName,
		root:   os.Geteuid() == 0,
		users:  make(map[string]uint32),
		groups: make(map[string]uint32),
	}
}

// owner returns the numbers for a node. A name that does not exist here
// leaves the stored number.
func (o *OwnerLookup) owner(n *tree.Node) (uid, gid uint32) {
	if !o.byName {
		return n.UID, n.GID
	}
	uid = o.number(o.users, n.User, n.UID, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	gid = o.number(o.groups, n.Group, n.GID, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	return uid, gid
}

func (o *OwnerLookup) number(known map[string]uint32, name string, stored uint32, look func(string) (string, error)) uint32 {
	if name == "" {
		return stored
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if n, ok := known[name]; ok {
		return n
	}
	n := stored
	if s, err := look(name); err == nil {
		if v, err := strconv.ParseUint(s, 10, 32); err == nil {
			n = uint32(v)
		}
	}
	known[name] = n
	return n
}

// step names what could not be set.
func step(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
