package osmeta

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/garner-backup/garner/repo/tree"
)

// NoFollow has no counterpart; os.Root does not leave the directory.
const NoFollow = 0

// LinkCount returns 1: the number of names is not part of what Lstat tells.
func LinkCount(fs.FileInfo) uint64 { return 1 }

// Apply sets times and the read-only bit. Owners and access lists of other
// systems mean nothing here; an item with Windows' own says that they are
// not restored.
func (d *Dir) Apply(name string, n *tree.Node, opts *ApplyOptions) error {
	if n.Type == tree.TypeSymlink {
		return nil
	}
	var errs []error
	if len(n.GenericAttributes) > 0 {
		errs = append(errs, errors.New("attributes and security descriptors are not restored on this system"))
	}
	if err := d.Chtimes(name, n.AccessTime, n.ModTime); err != nil {
		errs = append(errs, step("times", err))
	}
	if n.Type == tree.TypeFile {
		if err := d.Chmod(name, n.Mode.Perm()); err != nil {
			errs = append(errs, step("mode", err))
		}
	}
	return errors.Join(errs...)
}

// Mknod fails: there are no such items on Windows.
func (d *Dir) Mknod(_ string, n *tree.Node) error {
	return fmt.Errorf("items of type %q can't be restored on this system", n.Type)
}

// LinkTo makes name in the directory to a further name of d's entry from.
func (d *Dir) LinkTo(from string, to *Dir, name string) error {
	return os.Link(d.self.Name()+`\`+from, to.self.Name()+`\`+name)
}
