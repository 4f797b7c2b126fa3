package osmeta

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/tree"
)

// Folder is an open directory whose entries are read. It is safe for
// concurrent use until Close.
type Folder struct {
	f    *os.File
	path string
}

// OpenFolder opens the directory at path; symbolic links are followed if
// follow is set, else a link at the end is refused.
func OpenFolder(path string, follow bool) (*Folder, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := openat(unix.AT_FDCWD, path, flags)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Folder{os.NewFile(uintptr(fd), path), path}, nil
}

// openat opens without changing the access time where that is allowed: only
// the owner and root may ask for it.
func openat(dir int, name string, flags int) (int, error) {
	noatime := unix.O_NOATIME
	for {
		fd, err := unix.Openat(dir, name, flags|noatime, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EPERM) && noatime != 0:
			noatime = 0
		default:
			return fd, err
		}
	}
}

func (d *Folder) fd() int { return int(d.f.Fd()) }

// Path returns the path that the folder was opened with.
func (d *Folder) Path() string { return d.path }

// Close closes the folder.
func (d *Folder) Close() error { return d.f.Close() }

func (d *Folder) fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: d.path + "/" + name, Err: err}
}

// Names returns the names of all entries, in no particular order. It may be
// called once.
func (d *Folder) Names() ([]string, error) { return d.f.Readdirnames(-1) }

// Device returns the number of the file system that the folder is on.
func (d *Folder) Device() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: d.path, Err: err}
	}
	return st.Dev, nil
}

// OpenFolder opens a directory in this one. A symbolic link is refused.
func (d *Folder) OpenFolder(name string) (*Folder, error) {
	fd, err := openat(d.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	path := d.path + "/" + name
	return &Folder{os.NewFile(uintptr(fd), path), path}, nil
}

// Lstat fills in what one call to the kernel tells of an entry: type, mode,
// times, owner numbers, inode, device, size, links. The type is empty for
// what is nothing that tree knows.
func (d *Folder) Lstat(name string, n *tree.Node) error {
	return statAt(d.fd(), name, unix.AT_SYMLINK_NOFOLLOW, d.path+"/", n)
}

// Stat fills in a path's metadata like Folder.Lstat, following symbolic links
// if follow is set.
func Stat(path string, follow bool, n *tree.Node) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	return statAt(unix.AT_FDCWD, path, flags, "", n)
}

func statAt(dir int, name string, flags int, prefix string, n *tree.Node) error {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(dir, name, &st, flags)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: "lstat", Path: prefix + name, Err: err}
		}
	}
	fill(n, &st)
	return nil
}

// Finish adds what takes more calls: the target of a symbolic link, and the
// extended attributes. The latter's errors come with what could be read.
func (d *Folder) Finish(name string, n *tree.Node) error {
	if n.Type == tree.TypeSymlink {
		target, err := readlinkat(d.fd(), name)
		if err != nil {
			return d.fail("readlink", name, err)
		}
		n.LinkTarget = target
	}
	// The kernel resolves this from the open directory, whatever happens to
	// its path, and however long that is.
	path := "/proc/self/fd/" + strconv.Itoa(d.fd()) + "/" + name
	err := readXattrs(n, func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) },
		func(attr string, buf []byte) (int, error) { return unix.Lgetxattr(path, attr, buf) })
	if errors.Is(err, unix.ENOENT) && !procMounted() {
		path = d.path + "/" + name
		err = readXattrs(n, func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) },
			func(attr string, buf []byte) (int, error) { return unix.Lgetxattr(path, attr, buf) })
	}
	if err != nil {
		return d.fail("extended attributes", name, err)
	}
	return nil
}

func procMounted() bool {
	_, err := os.Lstat("/proc/self/fd")
	return err == nil
}

// FinishPath is Folder.Finish for a path.
func FinishPath(path string, n *tree.Node) error {
	if n.Type == tree.TypeSymlink {
		target, err := readlinkat(unix.AT_FDCWD, path)
		if err != nil {
			return &fs.PathError{Op: "readlink", Path: path, Err: err}
		}
		n.LinkTarget = target
	}
	list, get := unix.Llistxattr, unix.Lgetxattr
	if n.Type == tree.TypeDir { // perhaps reached through a link
		list, get = unix.Listxattr, unix.Getxattr
	}
	err := readXattrs(n, func(buf []byte) (int, error) { return list(path, buf) },
		func(attr string, buf []byte) (int, error) { return get(path, attr, buf) })
	if err != nil {
		return &fs.PathError{Op: "extended attributes", Path: path, Err: err}
	}
	return nil
}

func readlinkat(dir int, name string) (string, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(dir, name, buf)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

// File is a regular file that is being read.
type File struct {
	fd    int
	path  string
	holes *holes // nil: the file has none, or they can't be told
}

// errIrregular tells of an entry that was a regular file when it was listed.
var errIrregular = errors.New("no longer a regular file")

// OpenFile opens a regular file and fills in its metadata anew, as it was
// when it was opened. A symbolic link, or anything else that took the file's
// place, is refused.
func (d *Folder) OpenFile(name string, n *tree.Node) (*File, error) {
	return openFile(d.fd(), name, d.path+"/", n)
}

// OpenFile opens the regular file at path like Folder.OpenFile.
func OpenFile(path string, n *tree.Node) (*File, error) {
	return openFile(unix.AT_FDCWD, path, "", n)
}

func openFile(dir int, name, prefix string, n *tree.Node) (*File, error) {
	// Not blocking: had a fifo taken the file's place, opening it would wait
	// for a writer. It makes no difference for regular files.
	fd, err := openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		err = errIrregular
	}
	var st unix.Stat_t
	if err == nil {
		if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
			err = errIrregular
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: prefix + name, Err: err}
	}
	fill(n, &st)
	f := &File{fd: fd, path: prefix + name}
	if st.Blocks*512 < st.Size && st.Size >= minSparse && tellsHoles(fd) {
		f.holes = new(holes)
	}
	return f, nil
}

// Read implements io.Reader.
func (f *File) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := f.read(p)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, &fs.PathError{Op: "read", Path: f.path, Err: err}
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Finish adds the extended attributes.
func (f *File) Finish(n *tree.Node) error {
	err := readXattrs(n, func(buf []byte) (int, error) { return unix.Flistxattr(f.fd, buf) },
		func(attr string, buf []byte) (int, error) { return unix.Fgetxattr(f.fd, attr, buf) })
	if err != nil {
		return &fs.PathError{Op: "extended attributes", Path: f.path, Err: err}
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error { return unix.Close(f.fd) }

// fill translates what the kernel tells.
func fill(n *tree.Node, st *unix.Stat_t) {
	n.Type, n.Mode = typeAndMode(st.Mode)
	n.ModTime = time.Unix(st.Mtim.Unix())
	n.AccessTime = time.Unix(st.Atim.Unix())
	n.ChangeTime = time.Unix(st.Ctim.Unix())
	n.UID, n.GID = st.Uid, st.Gid
	n.Inode, n.DeviceID = st.Ino, st.Dev
	n.Size, n.Links, n.Device = 0, 0, 0
	switch n.Type {
	case tree.TypeFile:
		n.Size, n.Links = uint64(st.Size), uint64(st.Nlink)
	case tree.TypeSymlink:
		n.Links = uint64(st.Nlink)
	case tree.TypeDevice, tree.TypeCharDevice:
		n.Links, n.Device = uint64(st.Nlink), st.Rdev
	}
}

// typeAndMode translates a mode of the kernel.
func typeAndMode(mode uint32) (tree.NodeType, fs.FileMode) {
	m := fs.FileMode(mode & 0o777)
	if mode&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return tree.TypeFile, m
	case unix.S_IFDIR:
		return tree.TypeDir, m | fs.ModeDir
	case unix.S_IFLNK:
		return tree.TypeSymlink, m | fs.ModeSymlink
	case unix.S_IFBLK:
		return tree.TypeDevice, m | fs.ModeDevice
	case unix.S_IFCHR:
		return tree.TypeCharDevice, m | fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFIFO:
		return tree.TypeFifo, m | fs.ModeNamedPipe
	case unix.S_IFSOCK:
		return tree.TypeSocket, m | fs.ModeSocket
	}
	return "", m | fs.ModeIrregular
}

// readXattrs sets the extended attributes of n, in the order in which the
// kernel lists them. A file system without attributes has none; one that
// vanishes meanwhile is left out.
func readXattrs(n *tree.Node, list func([]byte) (int, error), get func(string, []byte) (int, error)) error {
	n.ExtendedAttributes = nil
	var space [256]byte
	names, err := grow(space[:], list)
	if len(names) == 0 || errors.Is(err, unix.ENOTSUP) {
		return ignoreUnsupported(err)
	}
	var first error
	for _, name := range splitNames(names) {
		value, err := grow(nil, func(buf []byte) (int, error) { return get(name, buf) })
		switch {
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		case err != nil:
			if first == nil {
				first = err
			}
		default:
			n.ExtendedAttributes = append(n.ExtendedAttributes, tree.ExtendedAttribute{Name: name, Value: slices.Clip(value)})
		}
	}
	return first
}

func ignoreUnsupported(err error) error {
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// grow calls fn with a buffer that is large enough.
func grow(buf []byte, fn func([]byte) (int, error)) ([]byte, error) {
	for {
		if len(buf) == 0 { // an empty buffer asks for the size
			size, err := fn(nil)
			if err != nil || size == 0 {
				return []byte{}, err
			}
			buf = make([]byte, size)
		}
		n, err := fn(buf)
		switch {
		case errors.Is(err, unix.ERANGE):
			buf = nil
		case err != nil:
			return nil, err
		default:
			return buf[:n], nil
		}
	}
}

// splitNames splits names that end with NUL bytes.
func splitNames(b []byte) []string {
	var names []string
	start := 0
	for i, c := range b {
		if c == 0 {
			if i > start {
				names = append(names, string(b[start:i]))
			}
			start = i + 1
		}
	}
	return names
}
