package osmeta

import "golang.org/x/sys/unix"

// ReliableChangeTime reports whether the folder's file system sets the change
// time of a file whenever anything of it changes, and lets nobody else set it.
// FUSE file systems and shares may make one up.
func (d *Folder) ReliableChangeTime() bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd(), &st); err != nil {
		return false
	}
	const zfs, bcachefs = 0x2fc12fc1, 0xca451a4e
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, zfs, bcachefs:
		return true
	}
	return false
}
