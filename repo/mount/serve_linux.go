package mount

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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

// raiseReadAhead lets the kernel ask for as much at once as it may, where by
// itself it asks for 128 KiB. Only root can do this; without it reading from
// front to back takes more requests, and that is all.
func raiseReadAhead(dir string) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if device := deviceOf(string(mounts), dir); device != "" {
		// What can't be set stays as it is.
		_ = os.WriteFile("/sys/class/bdi/"+device+"/read_ahead_kb", strconv.AppendInt(nil, maxRequest>>10, 10), 0)
	}
}

// deviceOf returns the numbers of the FUSE file system that was mounted last on
// a folder, as "major:minor", from the kernel's list of mounts.
func deviceOf(mountinfo, dir string) (device string) {
	dir = strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir)
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) > 6 && f[4] == dir && strings.Contains(line, " - fuse") {
			device = f[2]
		}
	}
	return device
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
