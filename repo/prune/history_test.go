package prune_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/check"
	"github.com/garner-backup/garner/repo/prune"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/source"
)

const password = "secret"

func open(t testing.TB, be backend.Backend, opts *repo.Options) *repo.Repo {
	t.Helper()
	r, err := repo.Open(context.Background(), be, password, opts)
	if err == nil {
		err = r.LoadIndex(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// writeFiles makes files below dir: name -> seed of 20 KB of content.
func writeFiles(t testing.TB, dir string, files map[string]int) {
	t.Helper()
	for name, seed := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, repotest.Random(byte(seed), 20_000+seed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func backUp(ctx context.Context, r *repo.Repo, dir string) (crypto.ID, error) {
	src, err := source.Dir([]string{dir}, nil)
	if err != nil {
		return crypto.ID{}, err
	}
	res, err := backup.Run(ctx, r, src, nil)
	if err != nil {
		return crypto.ID{}, err
	}
	return res.Snapshot.ID, nil
}

// makeHistory makes one snapshot after the other of a folder that changes.
// The packs of each hold what the next ones share, and what they do not.
func makeHistory(t testing.TB, be backend.Backend, snapshots int) (ids []crypto.ID) {
	t.Helper()
	dir := t.TempDir()
	r := open(t, be, nil)
	for i := range snapshots {
		files := make(map[string]int)
		for f := range 6 {
			files[fmt.Sprintf("sub%d/file%d", f%2, f)] = 10*(i/(f+1)) + f // file f changes every f+1 snapshots
		}
		writeFiles(t, dir, files)
		id, err := backUp(context.Background(), r, dir)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func forget(t testing.TB, r *repo.Repo, ids ...crypto.ID) {
	t.Helper()
	for _, id := range ids {
		if err := r.Remove(context.Background(), backend.SnapshotFile, id); err != nil {
			t.Fatal(err)
		}
	}
}

// mustCheck reads everything in the repository and fails on any error.
func mustCheck(t testing.TB, be backend.Backend, snapshots int) *check.Report {
	t.Helper()
	return mustCheckWith(t, be, snapshots, &check.Options{SelectPacks: check.AllPacks})
}

func mustCheckWith(t testing.TB, be backend.Backend, snapshots int, opts *check.Options) *check.Report {
	t.Helper()
	rep, err := check.Run(context.Background(), open(t, be, nil), opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rep.Problems {
		if !p.Kind.Hint() {
			t.Errorf("check: %v", p)
		}
	}
	if rep.Snapshots != snapshots {
		t.Errorf("%d snapshots, want %d", rep.Snapshots, snapshots)
	}
	return rep
}

// mustBeLean fails if the repository holds anything twice or without need.
func mustBeLean(t testing.TB, be backend.Backend) {
	t.Helper()
	p, err := prune.NewPlan(context.Background(), open(t, be, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Stats()
	if s.Blobs.Unused+s.Blobs.Duplicate > 0 || s.Packs.Unreferenced > 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// apply plans and prunes under an exclusive lock.
func apply(ctx context.Context, r *repo.Repo, opts *prune.Options) error {
	return r.WithLock(ctx, repo.ExclusiveLock, nil, func(ctx context.Context) error {
		p, err := prune.NewPlan(ctx, r, opts)
		if err != nil {
			return err
		}
		return p.Apply(ctx)
	})
}

// everything is the option to leave nothing unused.
func everything() *prune.Options { return &prune.Options{MaxUnused: prune.UnusedBytes(0)} }

func sealedOf(t testing.TB, be backend.Backend, l index.Location) []byte {
	t.Helper()
	b, err := be.Load(context.Background(), backend.Handle{Type: backend.PackFile, Name: l.Pack.String()}, int64(l.Offset), int(l.Length), nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b)
}
