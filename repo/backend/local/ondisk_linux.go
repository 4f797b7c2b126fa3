package local

import "golang.org/x/sys/unix"

// onDisk reports whether path is on a file system that this machine alone
// manages. What is not known here may be a share, or a FUSE file system that
// keeps lists of folders for a while.
func onDisk(path string) bool {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return false
	}
	switch int64(s.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, zfsMagic, bcachefsMagic:
		return true
	}
	return false
}

// File systems that are not in the unix package: ZFS_SUPER_MAGIC of OpenZFS and
// BCACHEFS_STATFS_MAGIC of Linux.
const (
	zfsMagic      = 0x2fc12fc1
	bcachefsMagic = 0xca451a4e
)
