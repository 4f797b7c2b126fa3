//go:build !linux

package osmeta

import (
	"os"

	"github.com/garner-backup/garner/repo/tree"
)

// OutFile is a regular file that is open for writing while it is restored.
type OutFile struct {
	*os.File
	name string
}

// born is what [Dir] keeps of new files: nothing.
type born struct{}

// Create makes the file n.Name, which must not exist. Until Finish only its
// owner has rights on it.
func (d *Dir) Create(n *tree.Node, _ *ApplyOptions) (*OutFile, error) {
	return d.open(n.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|NoFollow, 0o600)
}

// OpenForUpdate opens a regular file that exists, to write to it. Its
// length stays as it is.
func (d *Dir) OpenForUpdate(name string) (*OutFile, error) {
	f, err := d.open(name, os.O_WRONLY|NoFollow, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errReplaced
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (d *Dir) open(name string, flags int, mode os.FileMode) (*OutFile, error) {
	if err := tree.CheckName(name); err != nil {
		return nil, err
	}
	f, err := d.OpenFile(name, flags, mode)
	if err != nil {
		return nil, err
	}
	return &OutFile{File: f, name: name}, nil
}

// Size returns the file's length in bytes.
func (f *OutFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Preallocate gives a new file its length.
func (f *OutFile) Preallocate(size int64) error { return f.Truncate(size) }

// Reserved reports whether Preallocate has reserved the space, which reads as
// zeros until it is written.
func (f *OutFile) Reserved() bool { return false }

// Finish closes the file, an entry of d, and gives it the metadata of n.
// Closing comes first: on some systems it sets the time of the last change.
func (d *Dir) Finish(f *OutFile, n *tree.Node, opts *ApplyOptions) error {
	if err := f.Close(); err != nil {
		return err
	}
	return step("metadata", d.Apply(f.name, n, opts))
}
