package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/garner-backup/garner/repo/internal/osmeta"
	"github.com/garner-backup/garner/repo/tree"
)

// ErrNoTargets means that none of the targets can be read.
var ErrNoTargets = errors.New("all source directories/files do not exist")

// target is a component of the paths that were asked for. The components make
// a tree, which is the upper part of the snapshot.
type target struct {
	name string // in the snapshot
	path string // on the disk
	// wanted is set if this very path was asked for; else it is only on the
	// way to one.
	wanted   bool
	children map[string]*target
}

// dirs is the Source that Dir returns.
type dirs struct {
	rules *rules
	paths []string
	root  *target
}

// Dir returns a source of files and folders of this machine. The components
// of each path become folders of the snapshot, without leading ones of "..";
// a path without any, like "." or "/", stands for what is in that folder.
// Where two paths begin with the same name in different places, the later one
// gets a number behind its name. What is asked for is never excluded itself.
//
// Paths that do not exist or can't be looked at are reported to opts.Warn and
// left out; if none is left, the error is [ErrNoTargets].
func Dir(paths []string, opts *Options) (Source, error) {
	d := &dirs{rules: newRules(opts), root: &target{}}
	for _, p := range paths {
		if p == "" {
			return nil, errors.New("an empty path can't be backed up; did you mean \".\"?")
		}
		p = filepath.Clean(p)
		if _, err := os.Lstat(p); err != nil {
			d.rules.warn(p, err)
			continue
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("absolute path of %s: %w", p, err)
		}
		d.paths = append(d.paths, abs)
		if err := d.add(p); err != nil {
			return nil, err
		}
	}
	if len(d.paths) == 0 {
		return nil, ErrNoTargets
	}
	return d, nil
}

// add enters one path. If it has no components, its folder's entries are
// entered, as far as no pattern excludes them.
func (d *dirs) add(p string) error {
	names, base := components(p)
	if len(names) > 0 {
		d.root.add(names, base)
		return nil
	}
	abs, err := filepath.Abs(p)
	if err != nil {
		return err
	}
	folder, err := osmeta.OpenFolder(p, true)
	if err != nil {
		d.rules.warn(p, err)
		return nil
	}
	defer folder.Close()
	entries, err := (&realFolder{Folder: folder, rules: d.rules, abs: abs}).Names()
	if err != nil {
		d.rules.warn(p, err)
		return nil
	}
	for _, name := range entries {
		d.root.add([]string{name}, p)
	}
	return nil
}

// components splits a clean path into the names that make it up and where
// the first of them is.
func components(p string) (names []string, base string) {
	volume := filepath.VolumeName(p)
	rest := p[len(volume):]
	base = "."
	if filepath.IsAbs(p) {
		base = volume + string(filepath.Separator)
	}
	for _, name := range strings.Split(filepath.ToSlash(rest), "/") {
		switch name {
		case "", ".":
		case "..":
			base = filepath.Join(base, "..")
		default:
			names = append(names, name)
		}
	}
	if drive := strings.TrimSuffix(volume, ":"); drive != "" && len(names) > 0 {
		return append([]string{drive}, names...), volume
	}
	return names, base
}

// add enters the names below t. base is the folder that the first name is in.
func (t *target) add(names []string, base string) {
	at := t
	for i, name := range names {
		path := filepath.Join(base, name)
		if i == 0 {
			name = t.freeName(name, path)
		}
		next := at.children[name]
		if next == nil {
			next = &target{name: name, path: path}
			if at.children == nil {
				at.children = make(map[string]*target)
			}
			at.children[name] = next
		}
		at, base = next, path
	}
	at.wanted = true
}

// freeName returns the name under which the folder at path is in the
// snapshot's root.
func (t *target) freeName(name, path string) string {
	free := name
	for i := 1; t.children[free] != nil && t.children[free].path != path; i++ {
		free = name + "-" + strconv.Itoa(i)
	}
	return free
}

func (d *dirs) Paths() []string { return d.paths }

func (d *dirs) Root(context.Context) (Folder, error) {
	return &targetFolder{target: d.root, rules: d.rules}, nil
}

// lstat fills in a target's metadata. On the way to a target symbolic links
// are followed, as the names are a path; a target that is a link is saved as
// one.
func (t *target) lstat(r *rules, n *tree.Node) (bool, error) {
	if err := osmeta.Stat(t.path, !t.wanted, n); err != nil {
		return false, err
	}
	r.clean(t.name, n)
	if !t.wanted && n.Type != tree.TypeDir {
		return false, &fs.PathError{Op: "lstat", Path: t.path, Err: errors.New("is not a folder any more")}
	}
	if n.Type == "" || n.Type == tree.TypeSocket {
		return r.accepts(nil, n)
	}
	return true, nil
}

func (t *target) finish(r *rules, n *tree.Node) error {
	r.owner(n)
	err := osmeta.FinishPath(t.path, n)
	if !t.wanted {
		return nil // often not the user's own; what can be read is kept
	}
	return incomplete(n, err)
}

func (t *target) openFile(r *rules, n *tree.Node) (File, error) {
	f, err := osmeta.OpenFile(t.path, n)
	if err != nil {
		return nil, err
	}
	r.clean(t.name, n)
	return &realFile{f, r}, nil
}

// open opens a target that is a folder. Its device is what OneFileSystem
// compares with.
func (t *target) open(r *rules) (Folder, error) {
	if !t.wanted {
		return &targetFolder{target: t, rules: r}, nil
	}
	folder, err := osmeta.OpenFolder(t.path, false)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(t.path)
	if err != nil {
		folder.Close()
		return nil, err
	}
	device, err := folder.Device()
	if err != nil {
		folder.Close()
		return nil, err
	}
	return &realFolder{Folder: folder, rules: r, abs: abs, device: device, explicit: t.children}, nil
}

// targetFolder is a folder on the way to targets: it has just those entries
// that lead to one.
type targetFolder struct {
	target *target
	rules  *rules
}

func (d *targetFolder) Names() ([]string, error) {
	return slices.Sorted(maps.Keys(d.target.children)), nil
}

func (d *targetFolder) Lstat(name string, n *tree.Node) (bool, error) {
	if t := d.target.children[name]; t != nil {
		return t.lstat(d.rules, n)
	}
	return false, notFound("lstat", name)
}

func (d *targetFolder) Finish(name string, n *tree.Node) error {
	if t := d.target.children[name]; t != nil {
		return t.finish(d.rules, n)
	}
	return notFound("lstat", name)
}

func (d *targetFolder) OpenFile(name string, n *tree.Node) (File, error) {
	if t := d.target.children[name]; t != nil {
		return t.openFile(d.rules, n)
	}
	return nil, notFound("open", name)
}

func (d *targetFolder) OpenFolder(name string) (Folder, error) {
	if t := d.target.children[name]; t != nil {
		return t.open(d.rules)
	}
	return nil, notFound("open", name)
}

func (d *targetFolder) Close() error { return nil }
