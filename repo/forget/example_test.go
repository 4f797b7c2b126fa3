package forget_test

import (
	"context"
	"fmt"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/forget"
	"github.com/garner-backup/garner/repo/snapshot"
)

func ExampleNewPlan() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for day := 1; day <= 5; day++ {
		at := time.Date(2024, 1, day, 3, 0, 0, 0, time.UTC)
		if _, err := r.SaveSnapshot(ctx, &snapshot.Snapshot{Time: at, Hostname: "alpha", Tree: &crypto.ID{}}); err != nil {
			fmt.Println(err)
			return
		}
	}
	policy, err := snapshot.ParsePolicy("2d")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = r.WithLock(ctx, repo.ExclusiveLock, nil, func(ctx context.Context) error {
		list, err := r.Snapshots(ctx, snapshot.Filter{Hosts: []string{"alpha"}})
		if err != nil {
			return err
		}
		plan, err := forget.NewPlan(r, list, policy, &forget.Options{GroupBy: snapshot.Grouping{Host: true, Paths: true}})
		if err != nil {
			return err
		}
		for _, reason := range plan.Groups[0].Reasons() {
			fmt.Println(reason.Snapshot.Time.Format(time.DateOnly), reason.Matches)
		}
		removed, err := plan.Apply(ctx, nil)
		fmt.Println(len(removed), "removed")
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 2024-01-05 [daily snapshot]
	// 2024-01-04 [daily snapshot]
	// 3 removed
}
