package osmeta

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/tree"
)

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
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

// applyXattrs gives the entry name the attributes of n.
func (d *Dir) applyXattrs(name string, n *tree.Node, opts *ApplyOptions) error {
	// The calls take no directory. The kernel resolves this from the open
	// one, not from its path.
	path := "/proc/self/fd/" + strconv.Itoa(d.fd()) + "/" + name
	return applyXattrs(xattrTarget{path: path}, n, opts)
}

// xattrTarget is an item with extended attributes: an open file or, with a
// path, an entry that is not followed if it is a link.
type xattrTarget struct {
	fd   int
	path string // empty: fd
}

func (t xattrTarget) list(buf []byte) (int, error) {
	if t.path == "" {
		return unix.Flistxattr(t.fd, buf)
	}
	return unix.Llistxattr(t.path, buf)
}

func (t xattrTarget) set(name string, value []byte) error {
	if t.path == "" {
		return unix.Fsetxattr(t.fd, name, value, 0)
	}
	return unix.Lsetxattr(t.path, name, value, 0)
}

func (t xattrTarget) remove(name string) error {
	if t.path == "" {
		return unix.Fremovexattr(t.fd, name)
	}
	return unix.Lremovexattr(t.path, name)
}

// applyXattrs sets the attributes of n and removes those that n lacks.
func applyXattrs(t xattrTarget, n *tree.Node, opts *ApplyOptions) error {
	present, err := listXattrNames(t)
	if err != nil {
		return err
	}
	var errs []error
	for _, x := range n.ExtendedAttributes {
		present = remove(present, x.Name)
		if !opts.selects(x.Name) {
			continue
		}
		err := t.set(x.Name, x.Value)
		if err != nil && (opts.Owner.root || !errors.Is(err, unix.EPERM)) {
			errs = append(errs, step(x.Name, err))
		}
	}
	for _, x := range present {
		if !opts.selects(x) {
			continue
		}
		err := t.remove(x)
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

func listXattrNames(t xattrTarget) ([]string, error) {
	var space [256]byte
	names, err := grow(space[:], t.list)
	return splitNames(names), ignoreUnsupported(err)
}
