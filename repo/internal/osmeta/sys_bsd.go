//go:build darwin || freebsd

package osmeta

import (
	"io/fs"
	"syscall"

	"github.com/garner-backup/garner/repo/tree"
)

func fillSys(n *tree.Node, info fs.FileInfo) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	n.UID, n.GID = st.Uid, st.Gid
	n.Inode, n.DeviceID = uint64(st.Ino), uint64(st.Dev)
	n.AccessTime, n.ChangeTime = statTimes(st)
	switch n.Type {
	case tree.TypeFile, tree.TypeSymlink:
		n.Links = uint64(st.Nlink)
	case tree.TypeDevice, tree.TypeCharDevice:
		n.Links, n.Device = uint64(st.Nlink), uint64(st.Rdev)
	}
}
