package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// ncduLister prints the export format of ncdu, version 1.2: nested arrays,
// each of which begins with the folder it stands for. See
// https://dev.yorhel.nl/ncdu/jsonfmt.
type ncduLister struct {
	app   *cli.App
	depth int
}

type ncduNode struct {
	Name   string `json:"name"`
	ASize  uint64 `json:"asize"`
	DSize  uint64 `json:"dsize"`
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
	NLink  uint64 `json:"nlink"`
	NotReg bool   `json:"notreg"`
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Mode   uint16 `json:"mode"`
	Mtime  int64  `json:"mtime"`
}

func (l *ncduLister) begin(sn *snapshot.Snapshot, _ []string) error {
	b, err := json.Marshal(sn)
	if err != nil {
		return err
	}
	l.depth = 1
	_, err = fmt.Fprintf(l.app.Stdout, "[1, 2, %s, [{\"name\":\"/\"}", b)
	return err
}

func (l *ncduLister) node(_ string, n *tree.Node) error {
	const sector = 512 // sizes on disk are counted in these
	b, err := json.Marshal(ncduNode{
		Name: n.Name, ASize: n.Size, DSize: (n.Size + sector - 1) / sector * sector,
		Dev: n.DeviceID, Ino: n.Inode, NLink: n.Links,
		NotReg: n.Type != tree.TypeDir && n.Type != tree.TypeFile,
		UID:    n.UID, GID: n.GID, Mode: unixMode(n.Mode), Mtime: max(0, n.ModTime.Unix()), // ncdu knows no time before 1970
	})
	if err != nil {
		return err
	}
	indent := "\n" + strings.Repeat("  ", l.depth)
	if n.Type == tree.TypeDir {
		l.depth++
		_, err = fmt.Fprintf(l.app.Stdout, ",%s[%s  %s", indent, indent, b)
		return err
	}
	_, err = fmt.Fprintf(l.app.Stdout, ",%s%s", indent, b)
	return err
}

// unixMode returns the permission bits with setuid, setgid and sticky where
// Unix has them.
func unixMode(m fs.FileMode) uint16 {
	mode := uint16(m.Perm())
	for bit, value := range map[fs.FileMode]uint16{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			mode |= value
		}
	}
	return mode
}

func (l *ncduLister) leave(string) error {
	l.depth--
	_, err := fmt.Fprintf(l.app.Stdout, "\n%s]", strings.Repeat("  ", l.depth))
	return err
}

func (l *ncduLister) end() error {
	_, err := fmt.Fprint(l.app.Stdout, "\n]\n]\n")
	return err
}
