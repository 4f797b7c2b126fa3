package osmeta

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/tree"
)

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// Preallocate gives a new file its length and reserves the space, if the file
// system can. A full disk shows here, before anything is written.
func Preallocate(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return f.Truncate(size)
	}
	return step("reserve space", err)
}

// Mknod makes a device or a fifo.
func (d *Dir) Mknod(name string, n *tree.Node) error {
	var mode uint32
	switch n.Type {
	case tree.TypeDevice:
		mode = unix.S_IFBLK
	case tree.TypeCharDevice:
		mode = unix.S_IFCHR
	case tree.TypeFifo:
		mode = unix.S_IFIFO
	default:
		return fmt.Errorf("items of type %q can't be made", n.Type)
	}
	if err := unix.Mknodat(d.fd(), name, mode|0o600, int(n.Device)); err != nil {
		return &fs.PathError{Op: "mknod", Path: name, Err: err}
	}
	return nil
}

// xattrPath names an entry for calls that take no directory: the kernel
// resolves it from the open directory, not from its path.
func (d *Dir) xattrPath(name string) string {
	return "/proc/self/fd/" + strconv.Itoa(d.fd()) + "/" + name
}

// applyXattrs sets the attributes of n and removes those that n lacks.
func (d *Dir) applyXattrs(name string, n *tree.Node, opts *ApplyOptions) error {
	path := d.xattrPath(name)
	present, err := listXattrNames(path)
	if err != nil {
		return err
	}
	var errs []error
	for _, x := range n.ExtendedAttributes {
		present = remove(present, x.Name)
		if !opts.selects(x.Name) {
			continue
		}
		err := unix.Lsetxattr(path, x.Name, x.Value, 0)
		if err != nil && (opts.Owner.root || !errors.Is(err, unix.EPERM)) {
			errs = append(errs, step(x.Name, err))
		}
	}
	for _, x := range present {
		if !opts.selects(x) {
			continue
		}
		err := unix.Lremovexattr(path, x)
		if err != nil && !errors.Is(err, unix.ENODATA) && (opts.Owner.root || !errors.Is(err, unix.EPERM)) {
			errs = append(errs, step("remove "+x, err))
		}
	}
	return errors.Join(errs...)
}

func remove(names []string, name string) []string {
	for i, n := range names {
		if n == name {
			return append(names[:i], names[i+1:]...)
		}
	}
	return names
}

func listXattrNames(path string) ([]string, error) {
	var space [256]byte
	names, err := grow(space[:], func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) })
	return splitNames(names), ignoreUnsupported(err)
}
