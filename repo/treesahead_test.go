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
	repotest.Build(t, r, func(b *repotest.Builder) {
		save := func(subtrees []crypto.ID) crypto.ID {
			var nodes []tree.Node
			for i, sub := range subtrees {
				nodes = append(nodes, repotest.Folder(fmt.Sprintf("%04d", 2*i), sub))
				if rnd.IntN(3) == 0 {
					nodes = append(nodes, repotest.File(fmt.Sprintf("%04d", 2*i+1), rnd.Uint64N(100)))
				}
			}
			return b.Tree(nodes...)
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
	})
	return top
}

func TestTreesAheadYieldWhatTreesHold(t *testing.T) {
	r := repotest.Open(t, mem.New())
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
	r := repotest.Open(t, mem.New())
	missing := crypto.Hash([]byte("missing"))
	var top crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) {
		top = b.Tree(repotest.Folder("a", missing), repotest.File("b", 0))
	})
	var seen []string
	err := tree.Walk(t.Context(), r.TreesAhead(nil), top, func(path string, _ *tree.Node, err error) error {
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
