package repo_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

// openLoaded opens a repository and loads its index.
func openLoaded(t *testing.T, be backend.Backend) *repo.Repo {
	t.Helper()
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err == nil {
		err = r.LoadIndex(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// makeFiles fills dir with folders in folders and files, two of them equal.
func makeFiles(t *testing.T, dir string) {
	t.Helper()
	for i, name := range []string{"a", "b/c", "b/d/e", "b/d/f", "g/h", "g/same"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, repotest.Random(byte(i%5), 3000*(i%5+1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// backUp makes a snapshot of a folder and returns its tree.
func backUp(t *testing.T, r *repo.Repo, dir string) crypto.ID {
	t.Helper()
	src, err := source.Dir([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := backup.Run(t.Context(), r, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	return *res.Snapshot.Tree
}

// reachable returns what a plain walk finds below the roots.
func reachable(t *testing.T, r *repo.Repo, roots ...crypto.ID) map[index.BlobHandle]bool {
	t.Helper()
	found := make(map[index.BlobHandle]bool)
	var visit func(id crypto.ID)
	visit = func(id crypto.ID) {
		found[index.BlobHandle{Type: index.TreeBlob, ID: id}] = true
		nodes, err := r.LoadTree(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		defer nodes.Close()
		var n tree.Node
		for nodes.Next(&n) == nil {
			for _, c := range n.Content {
				found[index.BlobHandle{Type: index.DataBlob, ID: c}] = true
			}
			if n.Type == tree.TypeDir {
				visit(n.Subtree)
			}
		}
	}
	for _, root := range roots {
		visit(root)
	}
	return found
}

func TestMarkerFindsWhatAWalkFinds(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	var loads atomic.Int64
	r := openLoaded(t, layer.Observe(be, func(e layer.Event) {
		if e.Op == layer.OpLoad && e.Handle.Type == backend.PackFile {
			loads.Add(1)
		}
	}))
	dir := t.TempDir()
	makeFiles(t, dir)
	var roots []crypto.ID
	for i := range 4 {
		if err := os.WriteFile(filepath.Join(dir, "changing"), repotest.Random(byte(i), 2000), 0o600); err != nil {
			t.Fatal(err)
		}
		roots = append(roots, backUp(t, r, dir))
	}
	want := reachable(t, r, roots[1:]...)
	trees := 0
	for h := range want {
		if h.Type == index.TreeBlob {
			trees++
		}
	}
	loads.Store(0)
	m := r.NewMarker()
	done := 0
	if err := m.Mark(t.Context(), roots[1:], func() { done++ }); err != nil {
		t.Fatal(err)
	}
	if int(loads.Load()) != trees || done != 3 {
		t.Errorf("%d loads of %d trees, %d of 3 roots done", loads.Load(), trees, done)
	}
	unused := 0
	for l := range r.Index().All() {
		if m.Used(l.BlobHandle) != want[l.BlobHandle] {
			t.Errorf("%v: used %v, want %v", l.BlobHandle, m.Used(l.BlobHandle), want[l.BlobHandle])
		}
		if !want[l.BlobHandle] {
			unused++
		}
	}
	if unused == 0 {
		t.Error("no blob belongs to the first snapshot alone")
	}
	if _, marks := m.Marks(); marks.Len() != len(want) {
		t.Errorf("%d marks, want %d", marks.Len(), len(want))
	}
}

// TestMarkerExtend marks a snapshot that appears after the Marker was made.
func TestMarkerExtend(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	r := openLoaded(t, be)
	dir := t.TempDir()
	makeFiles(t, dir)
	first := backUp(t, r, dir)
	m := r.NewMarker()
	if err := m.Mark(t.Context(), []crypto.ID{first}, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := backUp(t, r, dir)
	var missing *repo.MissingBlobsError
	if err := m.Mark(t.Context(), []crypto.ID{second}, nil); !errors.As(err, &missing) {
		t.Fatalf("before Extend: %v, want a MissingBlobsError", err)
	}
	m.Extend()
	if err := m.Mark(t.Context(), []crypto.ID{second}, nil); err != nil {
		t.Fatal(err)
	}
	for h := range reachable(t, r, first, second) {
		if !m.Used(h) {
			t.Errorf("%v is not marked", h)
		}
	}
}

func TestMarkerReportsWhatIsMissing(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	r := openLoaded(t, be)
	unknown := crypto.Hash([]byte("unknown"))
	err := r.NewMarker().Mark(t.Context(), []crypto.ID{unknown}, nil)
	var missing *repo.MissingBlobsError
	if !errors.As(err, &missing) || missing.Count != 1 || missing.Blobs[0].ID != unknown {
		t.Errorf("got %v", err)
	}
}

// TestSaveSealedCopiesBytes stores a blob again as it is, and refuses one
// that was tampered with.
func TestSaveSealedCopiesBytes(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	r := openLoaded(t, be)
	content := bytes.Repeat([]byte("content "), 500)
	h := index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(content)}
	save := func(fn func(ctx context.Context, w *repo.Writer) error) error { return r.Write(t.Context(), fn) }
	if err := save(func(ctx context.Context, w *repo.Writer) error {
		_, err := w.SaveBlob(ctx, h.Type, content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	l := r.Index().Lookup(nil, h)[0]
	sealed, err := be.Load(t.Context(), backend.Handle{Type: backend.PackFile, Name: l.Pack.String()}, int64(l.Offset), int(l.Length), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := save(func(ctx context.Context, w *repo.Writer) error {
		for want := range 2 { // the second time in one Write there is nothing to do
			saved, err := w.SaveSealed(ctx, l.Blob, sealed)
			if err != nil || saved.New != (want == 0) {
				t.Errorf("SaveSealed: %+v, %v", saved, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	places := r.Index().Lookup(nil, h)
	if len(places) != 2 {
		t.Fatalf("%d places, want 2", len(places))
	}
	for _, l := range places {
		got, err := be.Load(t.Context(), backend.Handle{Type: backend.PackFile, Name: l.Pack.String()}, int64(l.Offset), int(l.Length), nil)
		if err != nil || !bytes.Equal(got, sealed) {
			t.Errorf("pack %s holds other bytes (%v)", l.Pack.Short(), err)
		}
	}
	if got, err := openLoaded(t, be).LoadBlob(t.Context(), h, nil); err != nil || !bytes.Equal(got, content) {
		t.Errorf("LoadBlob: %v", err)
	}
	sealed[20] ^= 1
	err = save(func(ctx context.Context, w *repo.Writer) error {
		_, err := w.SaveSealed(ctx, l.Blob, sealed)
		return err
	})
	if !errors.Is(err, crypto.ErrUnauthenticated) {
		t.Errorf("tampered blob: %v", err)
	}
}
