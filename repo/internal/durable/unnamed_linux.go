package durable

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Unnamed makes a file in a folder that has no name there yet. Unless it is
// given one it is gone when it is closed, however the process ends. The error
// matches errors.ErrUnsupported where the file system can't do that, as NFS
// can't.
func Unnamed(dir string, perm fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(perm.Perm()))
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), dir), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL): // kernels or file systems that don't know the flag
			return nil, &fs.PathError{Op: "make unnamed file", Path: dir, Err: errors.ErrUnsupported}
		default:
			return nil, &fs.PathError{Op: "make unnamed file", Path: dir, Err: err}
		}
	}
}

// link gives the file a name, if that is free.
func link(f *os.File, to string) error {
	from := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
	if err == nil {
		return nil
	}
	_, serr := os.Lstat(from)
	if serr != nil || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EXDEV) {
		err = errors.ErrUnsupported // no /proc, or a file system without links
	}
	return &os.LinkError{Op: "link", Old: from, New: to, Err: err}
}
