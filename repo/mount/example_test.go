package mount_test

import (
	"context"
	"fmt"
	"io/fs"
	"testing/fstest"
	"time"

	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/mount"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
)

func Example() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = backup.Run(ctx, r, source.FS(fstest.MapFS{"note": {Data: []byte("hello"), Mode: 0o644}}), &backup.Options{
		Snapshot: snapshot.Snapshot{Hostname: "web1", Time: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	view, err := mount.New(ctx, r, &mount.Options{PathTemplates: []string{"%h/%T"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer view.Close()
	err = fs.WalkDir(view, ".", func(path string, _ fs.DirEntry, err error) error {
		fmt.Println(path)
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	b, err := fs.ReadFile(view, "web1/latest/note")
	fmt.Println(string(b), err)
	// Output:
	// .
	// web1
	// web1/2024-05-06T07:08:09Z
	// web1/2024-05-06T07:08:09Z/note
	// web1/latest
	// hello <nil>
}
