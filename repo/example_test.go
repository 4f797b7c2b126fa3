package repo_test

import (
	"context"
	"fmt"

	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
)

func Example() {
	ctx := context.Background()
	be := mem.New()
	made, err := repo.Init(ctx, be, "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var blob index.BlobHandle
	err = made.WithLock(ctx, repo.SharedLock, nil, func(ctx context.Context) error {
		return made.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
			saved, err := w.SaveBlob(ctx, index.DataBlob, []byte("hello"))
			blob = index.BlobHandle{Type: index.DataBlob, ID: saved.ID}
			return err
		})
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	r, err := repo.Open(ctx, be, "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.LoadIndex(ctx); err != nil {
		fmt.Println(err)
	}
	content, err := r.LoadBlob(ctx, blob, nil)
	fmt.Printf("%s %v\n", content, err)
	// Output: hello <nil>
}
