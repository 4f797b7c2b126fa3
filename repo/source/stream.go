package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/garner-backup/garner/repo/tree"
)

// Stream returns a source of one file with what r yields, read once, under a
// path like "dump.sql" or "/srv/dump.sql". All times of the file and of the
// folders above it are t; owner and group are the process's. An error of r
// ends the backup: it is a *FatalError.
func Stream(name string, r io.Reader, t time.Time) (Source, error) {
	clean := path.Clean("/" + name)
	if clean == "/" || strings.HasSuffix(name, "/") {
		return nil, &fs.PathError{Op: "back up a stream as", Path: name, Err: errors.New("no file name")}
	}
	return &stream{clean: clean, r: r, t: t}, nil
}

type stream struct {
	clean string // absolute path of the file
	r     io.Reader
	t     time.Time
}

func (s *stream) Paths() []string { return []string{s.clean} }

func (s *stream) Root(context.Context) (Folder, error) {
	return &streamFolder{s: s, names: strings.Split(s.clean[1:], "/")}, nil
}

// streamFolder has one entry, the first of names.
type streamFolder struct {
	s     *stream
	names []string
}

func (d *streamFolder) Names() ([]string, error) { return d.names[:1], nil }

func (d *streamFolder) Lstat(name string, n *tree.Node) (bool, error) {
	if name != d.names[0] {
		return false, notFound("lstat", name)
	}
	*n = tree.Node{
		Name: name, Type: tree.TypeFile, Mode: 0o644,
		ModTime: d.s.t, AccessTime: d.s.t, ChangeTime: d.s.t,
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
	}
	if len(d.names) > 1 {
		n.Type, n.Mode = tree.TypeDir, 0o755|fs.ModeDir
	}
	return true, nil
}

func (d *streamFolder) Finish(string, *tree.Node) error { return nil }

func (d *streamFolder) OpenFile(name string, n *tree.Node) (File, error) {
	if _, err := d.Lstat(name, n); err != nil {
		return nil, err
	}
	return &streamFile{d.s.r}, nil
}

func (d *streamFolder) OpenFolder(name string) (Folder, error) {
	if name != d.names[0] || len(d.names) == 1 {
		return nil, notFound("open", name)
	}
	return &streamFolder{s: d.s, names: d.names[1:]}, nil
}

func (d *streamFolder) Close() error { return nil }

type streamFile struct{ r io.Reader }

func (f *streamFile) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &FatalError{Err: err}
	}
	return n, err
}

func (f *streamFile) Finish(*tree.Node) error { return nil }
func (f *streamFile) Close() error            { return nil }

// FS returns a source of the files of fsys, for programs that have no files
// on a disk to back up. The snapshot records paths as given; they are for
// people. Only folders, regular files and symbolic links (as fs.ReadLinkFS
// tells of them) are known; the rest is reported.
func FS(fsys fs.FS, paths ...string) Source {
	return &fsSource{fsys: fsys, paths: slices.Clone(paths)}
}

type fsSource struct {
	fsys  fs.FS
	paths []string
}

func (s *fsSource) Paths() []string { return s.paths }

func (s *fsSource) Root(context.Context) (Folder, error) { return &fsFolder{s.fsys, "."}, nil }

type fsFolder struct {
	fsys fs.FS
	dir  string
}

func (d *fsFolder) Names() ([]string, error) {
	entries, err := fs.ReadDir(d.fsys, d.dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

func (d *fsFolder) Lstat(name string, n *tree.Node) (bool, error) {
	info, err := fs.Lstat(d.fsys, path.Join(d.dir, name))
	if err != nil {
		return false, err
	}
	return true, fillFS(name, info, n)
}

func fillFS(name string, info fs.FileInfo, n *tree.Node) error {
	*n = tree.Node{
		Name: name, Mode: info.Mode() & (fs.ModeType | fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky),
		ModTime: info.ModTime(), AccessTime: info.ModTime(), ChangeTime: info.ModTime(),
	}
	switch {
	case info.Mode().IsRegular():
		n.Type, n.Size = tree.TypeFile, uint64(info.Size())
	case info.IsDir():
		n.Type = tree.TypeDir
	case info.Mode()&fs.ModeSymlink != 0:
		n.Type = tree.TypeSymlink
	default:
		return errType
	}
	return nil
}

func (d *fsFolder) Finish(name string, n *tree.Node) (err error) {
	if n.Type == tree.TypeSymlink {
		n.LinkTarget, err = fs.ReadLink(d.fsys, path.Join(d.dir, name))
	}
	return err
}

func (d *fsFolder) OpenFile(name string, n *tree.Node) (File, error) {
	f, err := d.fsys.Open(path.Join(d.dir, name))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = fillFS(name, info, n)
	}
	if err == nil && n.Type != tree.TypeFile {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("no longer a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &fsFile{f}, nil
}

func (d *fsFolder) OpenFolder(name string) (Folder, error) {
	return &fsFolder{d.fsys, path.Join(d.dir, name)}, nil
}

func (d *fsFolder) Close() error { return nil }

type fsFile struct{ fs.File }

func (f *fsFile) Finish(*tree.Node) error { return nil }
