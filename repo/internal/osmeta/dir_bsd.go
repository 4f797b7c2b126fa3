//go:build darwin || freebsd

package osmeta

import (
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/repo/tree"
)

func timespec(t time.Time) unix.Timespec {
	ts, _ := unix.TimeToTimespec(t) // fails only for years that the kernel can't hold
	return ts
}

// Mknod makes a fifo. Devices differ too much between systems to be restored.
func (d *Dir) Mknod(name string, n *tree.Node) error {
	if n.Type != tree.TypeFifo {
		return fmt.Errorf("items of type %q can't be restored on this system", n.Type)
	}
	// The call takes no directory; what is made through the path is checked
	// to be in this one.
	path := d.self.Name() + "/" + name
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return &fs.PathError{Op: "mkfifo", Path: name, Err: err}
	}
	if _, err := d.Lstat(name); err != nil {
		return fmt.Errorf("the directory moved while a fifo was made: %w", err)
	}
	return nil
}

// applyXattrs sets nothing: names and meanings of attributes are those of the
// system where they were saved. An item that has any says so.
func (d *Dir) applyXattrs(name string, n *tree.Node, opts *ApplyOptions) error {
	for _, x := range n.ExtendedAttributes {
		if opts.selects(x.Name) {
			return fmt.Errorf("%s: extended attributes are not restored on this system", x.Name)
		}
	}
	return nil
}
