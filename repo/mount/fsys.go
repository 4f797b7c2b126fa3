package mount

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"
)

// A View is a file system without FUSE. Paths are those of [fs.FS]: relative,
// with slashes, in UTF-8, so items with other names are listed and can't be
// opened. Symbolic links are followed as long as they lead to something in the
// View; an absolute target does not. Files implement [io.ReaderAt],
// [io.Seeker] and [io.WriterTo]; the Sys method of a [fs.FileInfo] in a
// snapshot returns a *[tree.Node].
var (
	_ fs.ReadDirFS  = (*View)(nil)
	_ fs.StatFS     = (*View)(nil)
	_ fs.ReadLinkFS = (*View)(nil)
)

// lookup is resolve with the errors of an fs.FS.
func (v *View) lookup(op, name string, follow bool) (item, error) {
	if !fs.ValidPath(name) {
		return item{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	it, err := v.resolve(v.ctx, name, follow)
	if err != nil {
		return item{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return it, nil
}

// Open opens a file or a folder.
func (v *View) Open(name string) (fs.File, error) {
	it, err := v.lookup("open", name, true)
	if err != nil {
		return nil, err
	}
	info := v.info(it, name)
	if it.kind == fs.ModeDir {
		return &openFolder{view: v, path: name, info: info}, nil
	}
	f := &openFile{view: v, path: name, info: info}
	if it.kind == 0 {
		f.reader = v.newReader(it.content())
	}
	return f, nil
}

// ReadDir lists a folder, sorted by name.
func (v *View) ReadDir(name string) ([]fs.DirEntry, error) {
	it, err := v.lookup("readdir", name, true)
	if err != nil {
		return nil, err
	}
	dir := openFolder{view: v, path: name, info: v.info(it, name)}
	return dir.ReadDir(-1)
}

// Stat describes what a path leads to.
func (v *View) Stat(name string) (fs.FileInfo, error) {
	it, err := v.lookup("stat", name, true)
	if err != nil {
		return nil, err
	}
	return v.info(it, name), nil
}

// Lstat is Stat without following a symbolic link at the end of the path.
func (v *View) Lstat(name string) (fs.FileInfo, error) {
	it, err := v.lookup("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return v.info(it, name), nil
}

// ReadLink returns where a symbolic link leads.
func (v *View) ReadLink(name string) (string, error) {
	it, err := v.lookup("readlink", name, false)
	if err == nil && it.kind != fs.ModeSymlink {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return it.target(), err
}

// info describes an item by the last element of the path that led to it.
func (v *View) info(it item, name string) *fileInfo {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			name = name[i+1:]
			break
		}
	}
	return &fileInfo{item: it, name: name}
}

// fileInfo implements fs.FileInfo and fs.DirEntry.
type fileInfo struct {
	item item
	name string
}

func (i *fileInfo) Name() string               { return i.name }
func (i *fileInfo) Size() int64                { return i.item.length() }
func (i *fileInfo) Mode() fs.FileMode          { return i.item.mode() }
func (i *fileInfo) Type() fs.FileMode          { return i.item.kind }
func (i *fileInfo) ModTime() time.Time         { return i.item.mtime.time() }
func (i *fileInfo) IsDir() bool                { return i.item.kind == fs.ModeDir }
func (i *fileInfo) Info() (fs.FileInfo, error) { return i, nil }
func (i *fileInfo) String() string             { return fs.FormatFileInfo(i) }

// Sys returns a *tree.Node, or nil above snapshots.
func (i *fileInfo) Sys() any {
	if i.item.top != nil {
		return nil
	}
	return i.item.node()
}

// openFolder is a folder that is being listed.
type openFolder struct {
	view *View
	path string
	info *fileInfo

	mu     sync.Mutex
	folder *folder // nil until the first ReadDir; owned by mu, as the next ones
	next   int
	closed bool
}

func (d *openFolder) Stat() (fs.FileInfo, error) { return d.info, nil }

func (d *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errIsFolder}
}

var errIsFolder = errors.New("is a folder")

func (d *openFolder) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed, d.folder = true, nil
	return nil
}

// ReadDir implements fs.ReadDirFile.
func (d *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, &fs.PathError{Op: "readdir", Path: d.path, Err: fs.ErrClosed}
	}
	if d.folder == nil {
		f, err := d.view.open(d.view.ctx, &d.info.item)
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: d.path, Err: err}
		}
		d.folder = f
	}
	left := d.folder.len() - d.next
	if n > 0 && left == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > left {
		n = left
	}
	list := make([]fs.DirEntry, n)
	for i := range list {
		it := d.folder.at(d.next + i)
		list[i] = &fileInfo{item: it, name: it.name}
	}
	d.next += n
	return list, nil
}

// openFile is a file that is being read, or something else that can't be.
type openFile struct {
	view   *View
	path   string
	info   *fileInfo
	reader *reader // nil: not a regular file

	mu     sync.Mutex
	off    int64 // owned by mu
	closed bool  // owned by mu
}

var (
	_ io.ReaderAt = (*openFile)(nil)
	_ io.Seeker   = (*openFile)(nil)
	_ io.WriterTo = (*openFile)(nil)
)

var errIrregular = errors.New("not a regular file")

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *openFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return f.fail("close", fs.ErrClosed)
	}
	f.closed = true
	return nil
}

func (f *openFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.path, Err: err}
}

// ready returns what keeps the file from being read. The caller holds mu.
func (f *openFile) ready(op string) error {
	switch {
	case f.closed:
		return f.fail(op, fs.ErrClosed)
	case f.reader == nil:
		return f.fail(op, errIrregular)
	}
	return nil
}

// Read implements io.Reader.
func (f *openFile) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready("read"); err != nil || len(p) == 0 {
		return 0, err
	}
	b, err := f.reader.slice(f.view.ctx, f.off, len(p))
	if err != nil {
		return 0, f.end("read", err)
	}
	f.off += int64(len(b))
	return copy(p, b), nil
}

// end leaves io.EOF as it is.
func (f *openFile) end(op string, err error) error {
	if err == io.EOF {
		return err
	}
	return f.fail(op, err)
}

// ReadAt implements io.ReaderAt.
func (f *openFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	err := f.ready("read")
	f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := f.reader.readAt(f.view.ctx, p, off)
	if err != nil {
		err = f.end("read", err)
	}
	return n, err
}

// Seek implements io.Seeker.
func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready("seek"); err != nil {
		return 0, err
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.off
	case io.SeekEnd:
		size, err := f.reader.size()
		if err != nil {
			return 0, f.fail("seek", err)
		}
		offset += size
	default:
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	f.off = offset
	return offset, nil
}

// WriteTo implements io.WriterTo: a blob at a time, without copying.
func (f *openFile) WriteTo(w io.Writer) (written int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready("read"); err != nil {
		return 0, err
	}
	const all = 1 << 30 // more than any blob has
	for {
		b, err := f.reader.slice(f.view.ctx, f.off, all)
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, f.fail("read", err)
		}
		n, err := w.Write(b)
		f.off += int64(n)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}
