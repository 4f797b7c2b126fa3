package backup_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

func treeHandle(id crypto.ID) index.BlobHandle {
	return index.BlobHandle{Type: index.TreeBlob, ID: id}
}

// manyFiles is a source of one folder with that many empty files.
type manyFiles int

func (m manyFiles) Paths() []string                                  { return []string{"/many"} }
func (m manyFiles) Root(context.Context) (source.Folder, error)      { return m, nil }
func (m manyFiles) Finish(string, *tree.Node) error                  { return nil }
func (m manyFiles) OpenFolder(string) (source.Folder, error)         { return nil, fmt.Errorf("no folders") }
func (m manyFiles) Close() error                                     { return nil }
func (m manyFiles) OpenFile(string, *tree.Node) (source.File, error) { return emptyFile{}, nil }

func (m manyFiles) Names() ([]string, error) {
	names := make([]string, m)
	for i := range names {
		names[i] = fmt.Sprintf("file with a name of some length %08d", i)
	}
	return names, nil
}

func (m manyFiles) Lstat(name string, n *tree.Node) (bool, error) {
	t := time.Unix(1_700_000_000, 5)
	*n = tree.Node{Name: name, Type: tree.TypeFile, Mode: 0o644, ModTime: t, AccessTime: t, ChangeTime: t, Inode: 1, Links: 1}
	return true, nil
}

type emptyFile struct{ source.File }

func (emptyFile) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyFile) Finish(*tree.Node) error  { return nil }
func (emptyFile) Close() error             { return nil }
