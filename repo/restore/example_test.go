package restore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/restore"
	"github.com/garner-backup/garner/repo/source"
)

func ExampleRun() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := backup.Run(ctx, r, source.FS(fstest.MapFS{"note": {Data: []byte("hello"), Mode: 0o644}}), nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	target, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(target)
	done, err := restore.Run(ctx, r, *res.Snapshot.Tree, target, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := os.ReadFile(filepath.Join(target, "note"))
	fmt.Println(done.FilesRestored, "file:", string(b), err)
	// Output: 1 file: hello <nil>
}
