package prune_test

import (
	"context"
	"fmt"
	"log"

	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/prune"
)

// A blob that no snapshot needs is found by the plan, and gone when it was
// applied.
func Example() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		log.Fatal(err)
	}
	err = r.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		_, err := w.SaveBlob(ctx, index.DataBlob, []byte("needed by nobody"))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	err = r.WithLock(ctx, repo.ExclusiveLock, nil, func(ctx context.Context) error {
		plan, err := prune.NewPlan(ctx, r, nil)
		if err != nil {
			return err
		}
		fmt.Println("to delete:", plan.Stats().Blobs.Remove)
		return plan.Apply(ctx)
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := r.LoadIndex(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("left:", r.Index().Len())
	// Output:
	// to delete: 1
	// left: 0
}
