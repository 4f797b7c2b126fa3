package repo_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/tree"
)

// bushes stores random trees, some of them in several places, and returns the
// topmost.
func bushes(t *testing.T, r *repo.Repo, rnd *rand.Rand) crypto.ID {
	t.Helper()
	var top crypto.ID
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		save := func(subtrees []crypto.ID) crypto.ID {
			var nodes []tree.Node
			for i, sub := range subtrees {
				nodes = append(nodes, tree.Node{Name: fmt.Sprintf("%04d", 2*i), Type: tree.TypeDir, Subtree: sub})
				if rnd.IntN(3) == 0 {
					nodes = append(nodes, tree.Node{Name: fmt.Sprintf("%04d", 2*i+1), Type: tree.TypeFile, Content: []crypto.ID{}, Size: rnd.Uint64N(100)})
				}
			}
			b, err := tree.Encode(nodes)
			if err != nil {
				t.Fatal(err)
			}
			saved, err := w.SaveBlob(ctx, index.TreeBlob, b)
			if err != nil {
				t.Fatal(err)
			}
			return saved.ID
		}
		made := []crypto.ID{save(nil)}
		for range 60 {
			var subtrees []crypto.ID
			for range rnd.IntN(4) {
				subtrees = append(subtrees, made[max(0, len(made)-1-rnd.IntN(8))])
			}
			made = append(made, save(subtrees))
		}
		var subtrees []crypto.ID
		for range 150 { // more than are loaded ahead
			subtrees = append(subtrees, made[rnd.IntN(12)])
		}
		top = save(append(subtrees, made[len(made)-12:]...))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return top
}

func TestTreesAheadYieldWhatTreesHold(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		top := bushes(t, r, rnd)
		list := func(trees func(tree.WalkFunc) error, skip *rand.Rand) (seen []string) {
			err := trees(func(path string, n *tree.Node, err error) error {
				if err != nil {
					return err
				}
				seen = append(seen, fmt.Sprint(path, n.Type, n.Size, n.Subtree))
				switch {
				case skip.IntN(20) == 0:
					return fs.SkipDir
				case skip.IntN(2000) == 0:
					return fs.SkipAll
				case strings.Count(path, "/") > 6:
					return fs.SkipDir
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return seen
		}
		ahead := r.TreesAhead(nil) // for several walks
		for seed := range uint64(20) {
			want := list(func(fn tree.WalkFunc) error { return tree.Walk(t.Context(), r, top, fn) }, rand.New(rand.NewPCG(3, seed)))
			got := list(func(fn tree.WalkFunc) error { return tree.Walk(t.Context(), ahead, top, fn) }, rand.New(rand.NewPCG(3, seed)))
			if !slices.Equal(got, want) {
				t.Fatalf("walk %d: %d items ahead, %d without, or in another order", seed, len(got), len(want))
			}
		}
	}
}

func TestTreesAheadReportWhatCannotBeRead(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	missing := crypto.Hash([]byte("missing"))
	var top crypto.ID
	err = r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		b, err := tree.Encode([]tree.Node{{Name: "a", Type: tree.TypeDir, Subtree: missing}, {Name: "b", Type: tree.TypeFile, Content: []crypto.ID{}}})
		if err != nil {
			return err
		}
		saved, err := w.SaveBlob(ctx, index.TreeBlob, b)
		top = saved.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	err = tree.Walk(t.Context(), r.TreesAhead(nil), top, func(path string, _ *tree.Node, err error) error {
		seen = append(seen, path)
		if err != nil && !errors.As(err, new(*repo.MissingBlobError)) {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil || !slices.Equal(seen, []string{"/a", "/a", "/b"}) {
		t.Errorf("walked %q, %v", seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.Walk(ctx, r.TreesAhead(nil), top, func(string, *tree.Node, error) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
