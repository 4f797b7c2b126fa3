package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/tree"
)

func TestTreeBuilderMakesTheTreeThatEncodeMakes(t *testing.T) {
	r := newTestRepo(t, mem.New(), nil)
	for _, count := range []int{0, 1, 2, 50} {
		nodes := make([]tree.Node, count)
		b := r.NewTreeBuilder()
		for i := range nodes {
			nodes[i] = tree.Node{Name: fmt.Sprintf("n%03d", i), Type: tree.TypeFifo}
			if err := b.Add(&nodes[i]); err != nil {
				t.Fatal(err)
			}
		}
		want, err := tree.Encode(nodes)
		if err != nil {
			t.Fatal(err)
		}
		var saved SavedBlob
		err = r.Write(t.Context(), func(ctx context.Context, w *Writer) (err error) {
			saved, err = b.Save(ctx, w)
			return err
		})
		if err != nil || saved.ID != crypto.Hash(want) || b.Len() != count || b.Size() != int64(len(want)) {
			t.Errorf("%d nodes: %v, %d nodes, %d bytes, %v; want %v and %d bytes", count, saved.ID, b.Len(), b.Size(), err, crypto.Hash(want), len(want))
		}
		got, err := r.LoadBlob(t.Context(), index.BlobHandle{Type: index.TreeBlob, ID: saved.ID}, nil)
		if err != nil || string(got) != string(want) {
			t.Errorf("%d nodes: stored as %q, %v", count, got, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTreeBuilderRefusesDisorder(t *testing.T) {
	r := newTestRepo(t, mem.New(), nil)
	b := r.NewTreeBuilder()
	defer b.Close()
	for _, name := range []string{"b", "c"} {
		if err := b.Add(&tree.Node{Name: name, Type: tree.TypeFifo}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"c", "a", ""} {
		err := b.Add(&tree.Node{Name: name, Type: tree.TypeFifo})
		if order := (*tree.OrderError)(nil); !errors.As(err, &order) || order.Previous != "c" || order.Name != name {
			t.Errorf("%q after c: %v", name, err)
		}
	}
	if b.Len() != 2 {
		t.Errorf("%d nodes", b.Len())
	}
}

// TestTreeBuilderKeepsLargeTreesInAFile goes over the limit in the middle of
// the tree and exactly at its end.
func TestTreeBuilderKeepsLargeTreesInAFile(t *testing.T) {
	r := newTestRepo(t, mem.New(), &Options{TempDir: t.TempDir()})
	node, err := tree.AppendNode(nil, &tree.Node{Name: strings.Repeat("x", 1000), Type: tree.TypeFifo})
	if err != nil {
		t.Fatal(err)
	}
	part := []byte(strings.Repeat(string(node)+",", 1000))
	for _, extra := range []bool{false, true} {
		b := r.NewTreeBuilder()
		count := 0
		for b.file == nil {
			if err := b.Append(part, 1000); err != nil {
				t.Fatal(err)
			}
			count += 1000
		}
		if extra {
			if err := b.Append(part[:len(node)+1], 1); err != nil {
				t.Fatal(err)
			}
			count++
		}
		if cap(b.buf) > 2*LargeBlob {
			t.Errorf("%d bytes in memory", cap(b.buf))
		}
		var saved SavedBlob
		err = r.Write(t.Context(), func(ctx context.Context, w *Writer) (err error) {
			saved, err = b.Save(ctx, w)
			return err
		})
		if err != nil || !saved.New {
			t.Fatal(saved, err)
		}
		nodes, err := r.LoadTree(t.Context(), saved.ID)
		if err != nil {
			t.Fatal(err)
		}
		var n tree.Node
		read := 0
		for err = nodes.Next(&n); err == nil; err = nodes.Next(&n) {
			read++
		}
		if !errors.Is(err, io.EOF) || read != count || b.Len() != count {
			t.Errorf("%d nodes of %d are read, %v", read, count, err)
		}
		if want := int64(len(tree.Header) + count*(len(node)+1) - 1 + len(tree.Trailer)); b.Size() != want {
			t.Errorf("%d bytes, want %d", b.Size(), want)
		}
		nodes.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
