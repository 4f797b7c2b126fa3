// Package local stores a repository in a directory of a file system, in the
// layout that restic uses. It can be a mounted network share.
//
// Files are written under a temporary name, synced and then renamed, so a
// crash never leaves a part of a file under its final name. They are made
// read-only, so that it takes intent to change them.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"syscall"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/internal/durable"
)

// DefaultConnections is how many files are read or written at the same time
// unless [Options] say something else.
const DefaultConnections = 2

// Options say how a directory is used; nil is the default.
type Options struct {
	// Connections is how many files are read or written at the same time;
	// zero is DefaultConnections.
	Connections int
}

// Backend is a directory that holds a repository.
type Backend struct {
	path        string
	connections int
	sys         *durable.System
	dirMode     fs.FileMode
	modes       durable.Modes
}

var (
	_ backend.Backend     = (*Backend)(nil)
	_ backend.Initializer = (*Backend)(nil)
	_ backend.Connector   = (*Backend)(nil)
	_ backend.Lister      = (*Backend)(nil)
	_ backend.Spooler     = (*Backend)(nil)
	_ backend.Requester   = (*Backend)(nil)
	_ backend.Replacer    = (*Backend)(nil)
)

// Open returns the backend for a path. It makes nothing; there may be no
// directory yet. What is there and is not a directory is refused.
//
// New folders and files are for their owner only, unless the config may be
// read by the group: then the group gets the same access.
func Open(path string, opts *Options) (*Backend, error) {
	if path == "" {
		return nil, errors.New("no path given for the repository")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open repository: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("open repository: %s is not a directory", path)
	}
	b := &Backend{path: path, connections: DefaultConnections, sys: durable.OS(), dirMode: 0o700, modes: durable.Modes{Write: 0o600, Final: 0o400}}
	if opts != nil && opts.Connections > 0 {
		b.connections = opts.Connections
	}
	if info, err := os.Stat(filepath.Join(path, "config")); err == nil && info.Mode()&0o040 != 0 {
		b.dirMode, b.modes = 0o770, durable.Modes{Write: 0o660, Final: 0o440}
	}
	return b, nil
}

// Connections implements backend.Connector.
func (b *Backend) Connections() int { return b.connections }

// RequestCost implements backend.Requester. A seek of a disk takes as long as
// reading a megabyte, but a network share or a disk without moving parts, which
// most are, far less.
func (b *Backend) RequestCost() int { return 64 << 10 }

// ListsCoherently implements backend.Lister: the folder of locks is on a disk
// of this machine, where a name that was made is there for all programs.
func (b *Backend) ListsCoherently() bool { return onDisk(filepath.Join(b.path, "locks")) }

// Close implements backend.Backend.
func (b *Backend) Close() error { return nil }

// Create makes the folders of a new repository, as far as they are missing.
func (b *Backend) Create(ctx context.Context) error {
	dirs := []string{"data"}
	for i := range 256 {
		dirs = append(dirs, fmt.Sprintf("data/%02x", i))
	}
	for _, dir := range append(dirs, "index", "keys", "locks", "snapshots") {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(b.path, filepath.FromSlash(dir)), b.dirMode); err != nil {
			return permanent(err)
		}
	}
	// A file is only as durable as the names of the folders above it.
	for _, dir := range []string{filepath.Join(b.path, "data"), b.path} {
		if err := b.sys.SyncFolder(dir); err != nil {
			return permanent(err)
		}
	}
	// The folder around the repository may be somebody else's and unreadable.
	err := b.sys.SyncFolder(filepath.Dir(b.path))
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return permanent(err)
}

// filePath returns where a file is. Packs are spread over 256 folders by the
// first byte of their names.
func (b *Backend) filePath(h backend.Handle) (string, error) {
	if h.Type == backend.ConfigFile {
		return filepath.Join(b.path, "config"), nil
	}
	if _, err := crypto.ParseID(h.Name); err != nil {
		return "", &backend.PermanentError{Err: fmt.Errorf("name of a file in %v: %w", h.Type, err)}
	}
	if h.Type == backend.PackFile {
		return filepath.Join(b.path, "data", h.Name[:2], h.Name), nil
	}
	return filepath.Join(b.path, h.Type.String(), h.Name), nil
}

// permanent marks errors that trying again can't mend, and translates those
// that callers know.
func permanent(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", backend.ErrNotExist, err)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: %w", backend.ErrExist, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS):
		return &backend.PermanentError{Err: err}
	}
	return err
}

// Save implements backend.Backend.
func (b *Backend) Save(ctx context.Context, h backend.Handle, content backend.Content) error {
	if s, ok := content.(*spool); ok && s.of == b {
		if err := b.saveSpool(ctx, h, s); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return b.save(ctx, h, content, b.sys.Write)
}

// Replace implements backend.Replacer.
func (b *Backend) Replace(ctx context.Context, h backend.Handle, content backend.Content) error {
	return b.save(ctx, h, content, b.sys.Overwrite)
}

func (b *Backend) save(ctx context.Context, h backend.Handle, content backend.Content,
	write func(path string, content durable.Content, modes durable.Modes) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := b.filePath(h)
	if err != nil {
		return err
	}
	err = write(path, content, b.modes)
	if errors.Is(err, fs.ErrNotExist) {
		// A folder that someone removed, or that an older program did not
		// make. Only folders below the repository are made here.
		if err = b.makeDir(filepath.Dir(path)); err == nil {
			err = write(path, content, b.modes)
		}
	}
	return permanent(err)
}

// makeDir makes a folder below the repository, which itself must exist: a
// share that is not mounted must not become a repository on the wrong disk.
func (b *Backend) makeDir(dir string) error {
	if _, err := os.Stat(b.path); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, b.dirMode); err != nil {
		return err
	}
	// Packs are two folders down; both names have to last.
	if err := b.sys.SyncFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	return b.sys.SyncFolder(b.path)
}

// Load implements backend.Backend.
func (b *Backend) Load(ctx context.Context, h backend.Handle, offset int64, length int, buf []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := b.filePath(h)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, permanent(err)
	}
	defer f.Close()
	if length < 0 {
		info, err := f.Stat()
		if err != nil {
			return nil, permanent(err)
		}
		length = int(info.Size() - offset)
		if length < 0 {
			return nil, fmt.Errorf("%s has %d bytes, none at %d: %w", path, info.Size(), offset, backend.ErrShortFile)
		}
	}
	if cap(buf) < length {
		buf = make([]byte, length)
	}
	n, err := f.ReadAt(buf[:length], offset)
	if errors.Is(err, io.EOF) && n < length {
		return nil, fmt.Errorf("%s has %d bytes, want %d: %w", path, offset+int64(n), offset+int64(length), backend.ErrShortFile)
	}
	if err != nil && n < length {
		return nil, permanent(err)
	}
	return buf[:length], nil
}

// Stat implements backend.Backend.
func (b *Backend) Stat(ctx context.Context, h backend.Handle) (backend.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return backend.FileInfo{}, err
	}
	path, err := b.filePath(h)
	if err != nil {
		return backend.FileInfo{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return backend.FileInfo{}, permanent(err)
	}
	if !info.Mode().IsRegular() {
		return backend.FileInfo{}, &backend.PermanentError{Err: fmt.Errorf("%s is not a regular file", path)}
	}
	return backend.FileInfo{Name: h.Name, Size: info.Size()}, nil
}

// Remove implements backend.Backend.
func (b *Backend) Remove(ctx context.Context, h backend.Handle) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := b.filePath(h)
	if err != nil {
		return err
	}
	return permanent(remove(path))
}

// List implements backend.Backend. All folders below data are visited,
// whatever their names.
func (b *Backend) List(ctx context.Context, t backend.FileType) iter.Seq2[backend.FileInfo, error] {
	return func(yield func(backend.FileInfo, error) bool) {
		if t == backend.ConfigFile {
			b.listConfig(ctx, yield)
			return
		}
		dir := filepath.Join(b.path, t.String())
		if t != backend.PackFile {
			listDir(ctx, dir, yield)
			return
		}
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(backend.FileInfo{}, permanent(err))
			return
		}
		for _, e := range entries {
			if e.IsDir() && !listDir(ctx, filepath.Join(dir, e.Name()), yield) {
				return
			}
		}
	}
}

func (b *Backend) listConfig(ctx context.Context, yield func(backend.FileInfo, error) bool) {
	fi, err := b.Stat(ctx, backend.Handle{Type: backend.ConfigFile})
	if !errors.Is(err, backend.ErrNotExist) {
		yield(fi, err)
	}
}

// listDir yields the files of a folder. It returns false if the sequence is
// at its end, because of an error or because yield said so.
func listDir(ctx context.Context, dir string, yield func(backend.FileInfo, error) bool) bool {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(backend.FileInfo{}, permanent(err))
		return false
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			if ctx.Err() != nil {
				yield(backend.FileInfo{}, ctx.Err())
				return false
			}
			if _, err := crypto.ParseID(name); err != nil {
				continue
			}
			info, err := os.Lstat(filepath.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
				continue
			}
			if err == nil && info.Mode()&fs.ModeSymlink != 0 {
				info, err = os.Stat(filepath.Join(dir, name))
			}
			if err != nil {
				yield(backend.FileInfo{}, permanent(err))
				return false
			}
			if !yield(backend.FileInfo{Name: name, Size: info.Size()}, nil) {
				return false
			}
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			yield(backend.FileInfo{}, permanent(err))
			return false
		}
	}
}
