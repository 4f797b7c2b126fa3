package source

import (
	"path/filepath"
	"slices"

	"github.com/garner-backup/garner/repo/internal/osmeta"
	"github.com/garner-backup/garner/repo/tree"
)

// realFolder is a folder of the file system, all of which is to be saved but
// for what the rules exclude.
type realFolder struct {
	*osmeta.Folder
	rules *rules
	abs   string // absolute path, which patterns are matched with
	// device is the file system of the target, for OneFileSystem.
	device uint64
	// foreign is set for a folder on another file system: it counts as empty.
	foreign bool
	// explicit are targets inside of this folder, or folders on the way to
	// one. No rule excludes them.
	explicit map[string]*target
}

func (d *realFolder) path(name string) string { return filepath.Join(d.abs, name) }

func (d *realFolder) Names() ([]string, error) {
	var names []string
	if !d.foreign {
		var err error
		if names, err = d.Folder.Names(); err != nil {
			return nil, err
		}
	}
	markers := d.rules.markers(d.Path())
	names = slices.DeleteFunc(names, func(name string) bool {
		if d.explicit[name] != nil {
			return false
		}
		if d.hidden(name, markers) {
			d.rules.excluded(d.path(name))
			return true
		}
		return false
	})
	for name := range d.explicit {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// hidden reports whether an entry is excluded by what needs no look at it:
// patterns, and each marker hides all but itself.
func (d *realFolder) hidden(name string, markers []string) bool {
	for _, m := range markers {
		if m != name {
			return true
		}
	}
	return d.rules.patterns && d.rules.matches(d.path(name))
}

func (d *realFolder) Lstat(name string, n *tree.Node) (bool, error) {
	explicit := d.explicit[name]
	if explicit != nil && explicit.wanted {
		return explicit.lstat(d.rules, n)
	}
	if err := d.Folder.Lstat(name, n); err != nil {
		return false, err
	}
	device := n.DeviceID
	d.rules.clean(name, n)
	if explicit != nil {
		return true, nil
	}
	if d.rules.OneFileSystem && device != d.device && n.Type != tree.TypeDir {
		d.rules.excluded(d.path(name))
		return false, nil
	}
	return d.rules.accepts(func() string { return d.path(name) }, n)
}

// ChangeTimesTell implements Surveyor. Targets inside may be anywhere.
func (d *realFolder) ChangeTimesTell() bool {
	return len(d.explicit) == 0 && !d.foreign && d.Folder.ReliableChangeTime()
}

// Survey implements Surveyor.
func (d *realFolder) Survey(name string, n *tree.Node) (bool, error) {
	ok, err := d.Lstat(name, n)
	d.rules.owner(n)
	return ok, err
}

func (d *realFolder) Finish(name string, n *tree.Node) error {
	if t := d.explicit[name]; t != nil && t.wanted {
		return t.finish(d.rules, n)
	}
	d.rules.owner(n)
	return incomplete(n, d.Folder.Finish(name, n))
}

// incomplete marks an error that leaves a node usable. A link without its
// target is of no use.
func incomplete(n *tree.Node, err error) error {
	if err == nil || n.Type == tree.TypeSymlink && n.LinkTarget == "" {
		return err
	}
	return &MetadataError{Err: err}
}

func (d *realFolder) OpenFile(name string, n *tree.Node) (File, error) {
	if t := d.explicit[name]; t != nil && t.wanted {
		return t.openFile(d.rules, n)
	}
	f, err := d.Folder.OpenFile(name, n)
	if err != nil {
		return nil, err
	}
	d.rules.clean(name, n)
	return &realFile{f, d.rules}, nil
}

func (d *realFolder) OpenFolder(name string) (Folder, error) {
	t := d.explicit[name]
	if t != nil && t.wanted {
		return t.open(d.rules)
	}
	sub, err := d.Folder.OpenFolder(name)
	if err != nil {
		return nil, err
	}
	opened := &realFolder{Folder: sub, rules: d.rules, abs: d.path(name), device: d.device}
	if t != nil {
		opened.explicit = t.children
	}
	if d.rules.OneFileSystem {
		device, err := sub.Device()
		if err != nil {
			sub.Close()
			return nil, err
		}
		opened.foreign = device != d.device
	}
	return opened, nil
}

// realFile is a regular file of the file system.
type realFile struct {
	*osmeta.File
	rules *rules
}

func (f *realFile) Finish(n *tree.Node) error {
	f.rules.owner(n)
	return incomplete(n, f.File.Finish(n))
}
