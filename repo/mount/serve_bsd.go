//go:build darwin || freebsd

package mount

import "github.com/hanwen/go-fuse/v2/fuse"

// direct does nothing: mounting always takes a helper here.
func direct(*fuse.MountOptions) {}

// raiseReadAhead does nothing: the kernel was told when it mounted.
func raiseReadAhead(string) {}

// detach unmounts a file system that is in use.
func detach(dir string) error {
	return runHelper([]string{"umount", "-f", dir})
}

// toDevice makes the number of a device as FUSE has it of that in a tree.
func toDevice(n uint64) uint32 { return uint32(n) }

// setBlockSize does nothing: the kernel has its own idea.
func setBlockSize(*fuse.Attr) {}
