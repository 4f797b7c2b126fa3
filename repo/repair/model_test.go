package repair_test

import (
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/repair"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// model is a forest of trees in memory, some of which, and some of the blobs,
// were never stored.
type model struct {
	trees []modelTree // those below come before
	known map[crypto.ID]int
	blobs map[crypto.ID]int // sizes of those that are stored
}

type modelTree struct {
	id     crypto.ID
	nodes  []tree.Node
	stored bool
}

// repaired is what must become of a tree, in the plainest words.
func (m *model) repaired(t *rapid.T, id crypto.ID) crypto.ID {
	i, ok := m.known[id]
	if !ok || !m.trees[i].stored {
		return encoded(t, nil)
	}
	var nodes []tree.Node
	for _, n := range m.trees[i].nodes {
		switch n.Type {
		case "":
			continue
		case tree.TypeDir:
			n.Subtree = m.repaired(t, n.Subtree)
		case tree.TypeFile:
			content := []crypto.ID{}
			size := 0
			for _, id := range n.Content {
				if length, ok := m.blobs[id]; ok {
					content = append(content, id)
					size += length
				}
			}
			n.Content, n.Size = content, uint64(size)
		}
		nodes = append(nodes, n)
	}
	return encoded(t, nodes)
}

func encoded(t *rapid.T, nodes []tree.Node) crypto.ID {
	b, err := tree.Encode(nodes)
	if err != nil {
		t.Fatal(err)
	}
	return crypto.Hash(b)
}

// drawModel makes trees and stores what is to be stored.
func drawModel(ctx context.Context, t *rapid.T, w *repo.Writer) *model {
	m := &model{known: make(map[crypto.ID]int), blobs: make(map[crypto.ID]int)}
	var pool []crypto.ID
	for i := range 8 {
		content := repotest.Random(byte(i), 10+i)
		id := crypto.Hash(content)
		pool = append(pool, id)
		if i%3 != 0 {
			m.blobs[id] = len(content)
			if _, err := w.SaveBlob(ctx, index.DataBlob, content); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range rapid.IntRange(1, 12).Draw(t, "trees") {
		var nodes []tree.Node
		for i := range rapid.IntRange(0, 5).Draw(t, "nodes") {
			n := tree.Node{Name: fmt.Sprintf("n%d", i), ModTime: when, AccessTime: when, ChangeTime: when}
			switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
			case kind < 5:
				n.Type, n.Content = tree.TypeFile, rapid.SliceOfN(rapid.SampledFrom(pool), 0, 3).Draw(t, "content")
				for _, id := range n.Content {
					n.Size += uint64(m.blobs[id])
				}
			case kind < 8 && len(m.trees) > 0:
				n.Type, n.Subtree = tree.TypeDir, rapid.SampledFrom(m.trees).Draw(t, "subtree").id
			case kind == 8:
				n.Type = ""
			default:
				n.Type = tree.TypeFifo
			}
			nodes = append(nodes, n)
		}
		b, err := tree.Encode(nodes)
		if err != nil {
			t.Fatal(err)
		}
		mt := modelTree{id: crypto.Hash(b), nodes: nodes, stored: rapid.IntRange(0, 5).Draw(t, "lost") > 0}
		if i, ok := m.known[mt.id]; ok {
			mt.stored = mt.stored || m.trees[i].stored
		}
		if mt.stored {
			if _, err := w.SaveBlob(ctx, index.TreeBlob, b); err != nil {
				t.Fatal(err)
			}
		}
		m.known[mt.id] = len(m.trees)
		m.trees = append(m.trees, mt)
	}
	return m
}

// TestSnapshotsBecomeWhatTheModelSays repairs forests in which trees share
// others, and compares the roots with the model's.
func TestSnapshotsBecomeWhatTheModelSays(t *testing.T) {
	empty := mem.New()
	repotest.InitBackend(t, empty, "secret", 2)
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		r := open(outer, clone(outer, empty))
		var m *model
		err := r.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
			m = drawModel(ctx, t, w)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var list []*snapshot.Snapshot
		for _, mt := range m.trees {
			sn := &snapshot.Snapshot{Time: when, Tree: &mt.id}
			if sn.ID, err = r.SaveSnapshot(ctx, sn); err != nil {
				t.Fatal(err)
			}
			list = append(list, sn)
		}
		plan, err := repair.PlanSnapshots(ctx, r, list, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[crypto.ID]crypto.ID) // root to repaired root, zero if it is gone
		err = plan.Apply(ctx, &repair.ApplyOptions{Forget: true, Done: func(s repair.RepairedSnapshot) {
			if s.New == s.Old.ID {
				return // only empty trees were lost
			}
			got[*s.Old.Tree] = crypto.ID{}
			if !s.New.IsZero() {
				sn, err := r.LoadSnapshot(ctx, s.New)
				if err != nil {
					t.Fatal(err)
				}
				got[*s.Old.Tree] = *sn.Tree
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if plan, err = repair.PlanSnapshots(ctx, r, snapshotsOf(ctx, t, r), nil); err != nil || plan.Damaged() > 0 {
			t.Fatalf("%d snapshots are damaged after the repair, %v", plan.Damaged(), err)
		}
		for _, mt := range m.trees {
			id, changed := got[mt.id]
			want := m.repaired(t, mt.id)
			switch {
			case !m.trees[m.known[mt.id]].stored:
				if !changed || !id.IsZero() {
					t.Fatalf("a snapshot without a root became %s", id.Short())
				}
			case changed != (want != mt.id):
				t.Fatalf("tree %s: changed %v, want %v", mt.id.Short(), changed, !changed)
			case changed && id != want:
				t.Fatalf("tree %s became %s, want %s", mt.id.Short(), id.Short(), want.Short())
			}
		}
	})
}

func snapshotsOf(ctx context.Context, t *rapid.T, r *repo.Repo) []*snapshot.Snapshot {
	list, err := r.Snapshots(ctx, snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
