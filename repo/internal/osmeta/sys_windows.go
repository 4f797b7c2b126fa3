package osmeta

import (
	"io/fs"
	"syscall"
	"time"

	"github.com/garner-backup/garner/repo/tree"
)

func fillSys(n *tree.Node, info fs.FileInfo) {
	if d, ok := info.Sys().(*syscall.Win32FileAttributeData); ok {
		n.AccessTime = time.Unix(0, d.LastAccessTime.Nanoseconds())
	}
}
