package stats_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/stats"
)

func ExampleRun() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	files := source.FS(fstest.MapFS{
		"a": {Data: []byte("hello"), Mode: 0o644},
		"b": {Data: []byte("hello"), Mode: 0o644},
	})
	res, err := backup.Run(ctx, r, files, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	list := []*snapshot.Snapshot{res.Snapshot}
	for _, mode := range []stats.Mode{stats.RestoreSize, stats.FilesByContents} {
		t, err := stats.Run(ctx, r, list, &stats.Options{Mode: mode})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %d files, %d bytes\n", mode, t.Files, t.Size)
	}
	// Output:
	// restore-size: 2 files, 10 bytes
	// files-by-contents: 1 files, 5 bytes
}
