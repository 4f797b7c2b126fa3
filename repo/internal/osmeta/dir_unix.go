//go:build linux || darwin || freebsd

package osmeta

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/tree"
)

// NoFollow makes opening a symbolic link fail.
const NoFollow = unix.O_NOFOLLOW

// LinkCount returns how many names a file has.
func LinkCount(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

func (d *Dir) fd() int { return int(d.self.Fd()) }

// Apply gives the entry name the metadata of n: owner, extended attributes,
// times and, last, the mode, which a change of owner or attributes may clear.
// What can't be set does not stop the rest; the errors are joined. Without
// the right to change owners these stay as they are, as with cp and tar.
func (d *Dir) Apply(name string, n *tree.Node, opts *ApplyOptions) error {
	var errs []error
	uid, gid := opts.Owner.owner(n)
	errs = append(errs, opts.ownerError(unix.Fchownat(d.fd(), name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)))
	if err := d.applyXattrs(name, n, opts); err != nil {
		errs = append(errs, step("extended attributes", err))
	}
	times := []unix.Timespec{timespec(n.AccessTime), timespec(n.ModTime)}
	if err := unix.UtimesNanoAt(d.fd(), name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		errs = append(errs, step("times", err))
	}
	if n.Type != tree.TypeSymlink {
		mode := n.Mode & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
		if err := d.Chmod(name, mode); err != nil {
			errs = append(errs, step("mode", err))
		}
	}
	return errors.Join(errs...)
}

// ownerError leaves out that the process has no right to change owners.
func (o *ApplyOptions) ownerError(err error) error {
	if !o.Owner.root && errors.Is(err, unix.EPERM) {
		return nil
	}
	return step("owner", err)
}

// LinkTo makes name in the directory to a further name of d's entry from.
func (d *Dir) LinkTo(from string, to *Dir, name string) error {
	err := unix.Linkat(d.fd(), from, to.fd(), name, 0)
	if err != nil {
		return &os.LinkError{Op: "link", Old: from, New: name, Err: err}
	}
	return nil
}
