// Package source is what a backup reads: files and folders of this machine
// ([Dir]), a stream ([Stream]), or any fs.FS ([FS]). A [Source] is a tree of
// [Folder] values; package backup walks it and knows nothing else of where
// files come from.
//
// Excludes belong to the source: what is excluded is not there.
package source

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/garner-backup/garner/repo/tree"
)

// Source is a tree of files to back up.
type Source interface {
	// Paths returns what the snapshot records as its paths.
	Paths() []string
	// Root opens the top folder of the snapshot.
	Root(ctx context.Context) (Folder, error)
}

// Folder is an open folder. Its methods are safe for concurrent use until
// Close. Errors about entries that are gone match fs.ErrNotExist.
type Folder interface {
	// Names returns the entries' names, sorted by their bytes and each once.
	// It may be called once.
	Names() ([]string, error)
	// Lstat fills in what is cheap to know of an entry: name, type, mode,
	// times, numbers, size. It returns false for an entry that is excluded.
	Lstat(name string, n *tree.Node) (included bool, err error)
	// Finish adds the rest of the metadata, for which Lstat has filled n. If
	// the error is a *MetadataError, n is usable without what it names.
	Finish(name string, n *tree.Node) error
	// OpenFile opens a regular file and fills in n anew, as it was when the
	// file was opened.
	OpenFile(name string, n *tree.Node) (File, error)
	// OpenFolder opens an entry that is a folder.
	OpenFolder(name string) (Folder, error)
	Close() error
}

// Surveyor is a Folder that may be of a file system where the change time of an
// entry tells of every change: of its content, its extended attributes, its
// target.
type Surveyor interface {
	// ChangeTimesTell reports whether it is.
	ChangeTimesTell() bool
	// Survey is Lstat, and adds the names of user and group: all that can
	// differ without the change time.
	Survey(name string, n *tree.Node) (included bool, err error)
}

// File is the content of a regular file.
type File interface {
	io.ReadCloser
	// Finish adds the rest of the metadata, as Folder.Finish does.
	Finish(n *tree.Node) error
}

// MetadataError means that an item is saved, but without some of its
// metadata.
type MetadataError struct{ Err error }

func (e *MetadataError) Error() string { return "incomplete metadata: " + e.Err.Error() }
func (e *MetadataError) Unwrap() error { return e.Err }

// errType refuses what is neither a file nor anything else that a snapshot
// can hold.
var errType = errors.New("unknown kind of file, not saved")

// Totals is how much a source holds.
type Totals struct {
	Files, Folders int64
	Bytes          int64 // of files
}

// Scan walks a source without reading files and adds up what is there. It
// calls progress, if not nil, after each folder. What can't be read is left
// out: the backup will report it.
func Scan(ctx context.Context, src Source, progress func(Totals)) (Totals, error) {
	var t Totals
	root, err := src.Root(ctx)
	if err != nil {
		return t, err
	}
	err = scanFolder(ctx, root, &t, progress)
	return t, err
}

func scanFolder(ctx context.Context, d Folder, t *Totals, progress func(Totals)) error {
	defer d.Close()
	names, err := d.Names()
	if err != nil {
		return nil
	}
	var n tree.Node
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok, err := d.Lstat(name, &n); err != nil || !ok {
			continue
		}
		switch n.Type {
		case tree.TypeFile:
			t.Files++
			t.Bytes += int64(n.Size)
		case tree.TypeDir:
			t.Folders++
			sub, err := d.OpenFolder(name)
			if err != nil {
				continue
			}
			if err := scanFolder(ctx, sub, t, progress); err != nil {
				return err
			}
		}
	}
	if progress != nil {
		progress(*t)
	}
	return nil
}

// notFound is the error for a name that a folder made of targets lacks.
func notFound(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// FatalError is an error of a File's content that ends the backup, because
// the file is what the backup is for.
type FatalError struct{ Err error }

func (e *FatalError) Error() string { return e.Err.Error() }
func (e *FatalError) Unwrap() error { return e.Err }
