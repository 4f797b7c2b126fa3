package mount

import (
	"os"
	"slices"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// direct mounts without FUSE's helper if that is not installed and this
// process may.
func direct(o *fuse.MountOptions) {
	if os.Geteuid() != 0 || lookHelper("fusermount3", "fusermount") {
		return
	}
	o.DirectMountStrict = true
	o.DirectMountFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_RDONLY
	// To the kernel this is a flag and no option.
	o.Options = slices.DeleteFunc(o.Options, func(s string) bool { return s == "ro" })
}

// detach takes a file system that is in use out of sight.
func detach(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err == nil {
		return nil
	}
	return runHelper([]string{"fusermount3", "-u", "-z", dir}, []string{"fusermount", "-u", "-z", dir})
}

// toDevice makes the number of a device as FUSE has it of that in a tree,
// which is the one that stat gave.
func toDevice(n uint64) uint32 { return uint32(n) }

// blockSize is what programs should read at once, in bytes.
const blockSize = 128 << 10

func setBlockSize(a *fuse.Attr) { a.Blksize = blockSize }
