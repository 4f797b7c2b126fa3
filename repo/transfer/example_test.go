package transfer_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/transfer"
)

func ExampleCopy() {
	ctx := context.Background()
	src, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	files := source.FS(fstest.MapFS{"note": {Data: []byte("hello"), Mode: 0o644}})
	if _, err := backup.Run(ctx, src, files, nil); err != nil {
		fmt.Println(err)
		return
	}

	// The other repository cuts files alike, so that later copies and backups
	// find each other's data.
	dst, err := repo.Init(ctx, mem.New(), "other secret", &repo.InitOptions{Polynomial: src.Config().ChunkerPolynomial})
	if err != nil {
		fmt.Println(err)
		return
	}
	list, err := src.Snapshots(ctx, snapshot.Filter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		res, err := transfer.Copy(ctx, src, dst, list, nil)
		fmt.Println(res.Copied, "copied,", res.Skipped, "skipped", err)
	}
	// Output:
	// 1 copied, 0 skipped <nil>
	// 0 copied, 1 skipped <nil>
}
