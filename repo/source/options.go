package source

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/garner-backup/garner/repo/internal/osmeta"
	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/tree"
)

// Options say what of the targets is left out; nil leaves out nothing.
type Options struct {
	// Excludes are lists of patterns that are matched with absolute paths.
	// What any of them matches is excluded.
	Excludes []*pattern.List
	// OneFileSystem leaves out what is on another file system than the
	// target. A mount point is kept, without what is mounted there.
	OneFileSystem bool
	// ExcludeIfPresent leaves out what is in folders that have such a file,
	// except the file itself.
	ExcludeIfPresent []Marker
	// ExcludeLargerThan leaves out files with more bytes; zero is no limit.
	ExcludeLargerThan int64
	// WithAtime keeps access times; otherwise they are set to the
	// modification time, so that reading a file does not change its folder.
	WithAtime bool
	// DeviceIDForHardlinks records the device only of files with several
	// names, and of types whose number of names is not recorded, so that a
	// changed device number changes less of a tree.
	DeviceIDForHardlinks bool
	// Excluded, if set, is told of each path that is left out.
	Excluded func(path string)
	// Warn, if set, is told of targets that do not exist and of other things
	// that keep the backup from being complete.
	Warn func(path string, err error)
}

// Marker is a file whose presence excludes the folder it is in.
type Marker struct {
	Name string
	// Header, if not empty, is what the file must begin with.
	Header string
}

// CacheMarker is the file that marks caches; see the Cache Directory Tagging
// Specification, https://bford.info/cachedir/.
func CacheMarker() Marker {
	return Marker{Name: "CACHEDIR.TAG", Header: "Signature: 8a477f597d28d172789f06886806bc55"}
}

// rules are Options, ready for use.
type rules struct {
	Options
	owners   *osmeta.Owners
	patterns bool // any exclude list is not empty
}

func newRules(opts *Options) *rules {
	r := &rules{owners: osmeta.NewOwners()}
	if opts != nil {
		r.Options = *opts
	}
	for _, l := range r.Excludes {
		r.patterns = r.patterns || !l.Empty()
	}
	return r
}

func (r *rules) warn(path string, err error) {
	if r.Warn != nil {
		r.Warn(path, err)
	}
}

func (r *rules) excluded(path string) {
	if r.Excluded != nil {
		r.Excluded(path)
	}
}

// matches reports whether a pattern excludes the path.
func (r *rules) matches(path string) bool {
	for _, l := range r.Excludes {
		if m, _ := l.Match(path); m {
			return true
		}
	}
	return false
}

// markers returns the names of the markers that are in a folder, and exclude
// what else is there.
func (r *rules) markers(dir string) []string {
	var names []string
	for _, m := range r.ExcludeIfPresent {
		if r.present(filepath.Join(dir, m.Name), m.Header) {
			names = append(names, m.Name)
		}
	}
	return names
}

// present reports whether a marker is there and has the right header. One
// that can't be read is reported, and excludes nothing.
func (r *rules) present(path, header string) bool {
	if _, err := os.Lstat(path); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.warn(path, err)
		}
		return false
	}
	if header == "" {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		r.warn(path, err)
		return false
	}
	defer f.Close()
	got := make([]byte, len(header))
	n, err := io.ReadFull(f, got)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		r.warn(path, err)
	}
	return string(got[:n]) == header
}

// clean applies what all folders do to fresh metadata.
func (r *rules) clean(name string, n *tree.Node) {
	n.Name = name
	if !r.WithAtime {
		n.AccessTime = n.ModTime
	}
	if r.DeviceIDForHardlinks && (n.Links == 1 || n.Type == tree.TypeDir) {
		n.DeviceID = 0
	}
}

// owner adds the names of user and group.
func (r *rules) owner(n *tree.Node) {
	n.User, n.Group = r.owners.User(n.UID), r.owners.Group(n.GID)
}

// accepts reports whether Lstat's result may be saved, by type and size.
func (r *rules) accepts(path func() string, n *tree.Node) (bool, error) {
	switch {
	case n.Type == tree.TypeSocket:
		return false, nil // nothing to save, and nobody misses it
	case n.Type == "":
		return false, errType
	case n.Type == tree.TypeFile && r.ExcludeLargerThan > 0 && n.Size > uint64(r.ExcludeLargerThan):
		r.excluded(path())
		return false, nil
	}
	return true, nil
}
