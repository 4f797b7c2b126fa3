package transfer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/transfer"
	"github.com/garner-backup/garner/repo/tree"
)

func patterns(t testing.TB, list ...string) []*pattern.List {
	t.Helper()
	l, err := pattern.Parse(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return []*pattern.List{l}
}

// listing returns the paths in a snapshot.
func listing(t testing.TB, r *repo.Repo, sn *snapshot.Snapshot) []string {
	t.Helper()
	var paths []string
	err := tree.Walk(t.Context(), r, *sn.Tree, func(path string, _ *tree.Node, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestRewriteLeavesOut(t *testing.T) {
	for _, c := range []struct {
		name  string
		opts  transfer.RewriteOptions
		want  []string // nil: no new version
		files uint
	}{
		{"nothing to do", transfer.RewriteOptions{}, nil, 0},
		{"summary that is there", transfer.RewriteOptions{Summary: true}, nil, 0},
		{"exclude nothing", transfer.RewriteOptions{Excludes: patterns(t, "x")}, nil, 0},
		{"exclude a folder", transfer.RewriteOptions{Excludes: patterns(t, "/d")}, []string{"/a", "/e", "/e/void"}, 1},
		{"exclude files", transfer.RewriteOptions{Excludes: patterns(t, "*.o")}, []string{"/a", "/d", "/d/s", "/e", "/e/void"}, 1},
		{"exclude everything", transfer.RewriteOptions{Excludes: patterns(t, "*")}, []string{}, 0},
		{"include files", transfer.RewriteOptions{Includes: patterns(t, "*.o")}, []string{"/d", "/d/f.o", "/d/s", "/d/s/g.o"}, 2},
		{"include a folder", transfer.RewriteOptions{Includes: patterns(t, "/d/s")}, []string{"/d", "/d/s", "/d/s/g.o"}, 1},
		{"include an empty folder", transfer.RewriteOptions{Includes: patterns(t, "void")}, []string{"/e", "/e/void"}, 0},
		{"include nothing", transfer.RewriteOptions{Includes: patterns(t, "x"), Hostname: "other"}, nil, 0},
		{"two lists", transfer.RewriteOptions{Excludes: append(patterns(t, "a"), patterns(t, "s")...)}, []string{"/d", "/d/f.o", "/e", "/e/void"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t, 2)
			r := s.open(t)
			backUp(t, r, files{"a": []byte("a"), "d/f.o": []byte("f"), "d/s/g.o": []byte("gg"), "e/void": nil}, snapshot.Snapshot{Tags: []string{"t"}, Hostname: "h"})
			old := all(t, r)[0]
			n, err := transfer.Rewrite(t.Context(), r, all(t, r), &c.opts)
			if err != nil {
				t.Fatal(err)
			}
			list := slices.DeleteFunc(all(t, r), func(sn *snapshot.Snapshot) bool { return sn.ID == old.ID })
			if len(list) != n || (n == 1) != (c.want != nil) {
				t.Fatalf("%d new versions, told of %d", len(list), n)
			}
			if n == 0 {
				return
			}
			sn := list[0]
			if got := listing(t, r, sn); !slices.Equal(got, c.want) {
				t.Errorf("left %v, want %v", got, c.want)
			}
			if sn.Summary.TotalFilesProcessed != c.files || *sn.Original != old.ID || !slices.Equal(sn.Tags, []string{"t", transfer.RewriteTag}) || sn.Hostname != "h" {
				t.Errorf("%+v", sn)
			}
			sound(t, s)
		})
	}
}

func TestRewriteChangesMetadata(t *testing.T) {
	s := newStore(t, 2)
	r := s.open(t)
	backUp(t, r, files{"a": []byte("a")}, snapshot.Snapshot{Hostname: "h"})
	when := time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC)
	old := all(t, r)[0]
	for i, tags := range [][]string{{transfer.RewriteTag}, {transfer.RewriteTag}} {
		before := all(t, r)
		n, err := transfer.Rewrite(t.Context(), r, before[:1], &transfer.RewriteOptions{Time: when.AddDate(0, 0, -i), Hostname: fmt.Sprint("new", i)})
		if err != nil || n != 1 {
			t.Fatal(n, err)
		}
		sn := all(t, r)[0]
		if !sn.Time.Equal(when.AddDate(0, 0, -i)) || sn.Hostname != fmt.Sprint("new", i) || *sn.Original != before[0].ID || !slices.Equal(sn.Tags, tags) || *sn.Tree != *old.Tree || *sn.Summary != *old.Summary {
			t.Errorf("%+v", sn)
		}
	}
	if _, err := transfer.Rewrite(t.Context(), r, all(t, r), &transfer.RewriteOptions{Excludes: patterns(t, "a"), Includes: patterns(t, "a")}); err == nil {
		t.Error("excludes and includes together")
	}
	if _, err := transfer.Rewrite(t.Context(), r, []*snapshot.Snapshot{{}}, &transfer.RewriteOptions{Hostname: "x"}); err == nil {
		t.Error("a snapshot without a tree was rewritten")
	}
}

// TestRewriteDryRunStoresNothing counts what reaches the storage.
func TestRewriteDryRunStoresNothing(t *testing.T) {
	s := sample(t, 2)
	r := s.open(t)
	writes := 0
	s.SetRule(func(op layer.Op, _ backend.Handle, _ int) backendtest.Fault {
		if op == layer.OpSave || op == layer.OpRemove {
			writes++
		}
		return backendtest.None
	})
	saved, removed, excluded := 0, 0, 0
	opts := &transfer.RewriteOptions{Excludes: patterns(t, "d1"), Forget: true, DryRun: true, Observer: transfer.RewriteObserver{
		Saved: func(old, version *snapshot.Snapshot) {
			saved++
			if *version.Original != old.ID || *version.Tree == *old.Tree || !version.ID.IsZero() {
				t.Errorf("would save %+v", version)
			}
		},
		Removed:  func(*snapshot.Snapshot) { removed++ },
		Excluded: func(path string) { excluded++ },
	}}
	n, err := transfer.Rewrite(t.Context(), r, all(t, r), opts)
	if err != nil || n != 3 || saved != 3 || removed != 3 || excluded != 3 || writes != 0 {
		t.Errorf("%d, %d, %d, %d, %d writes, %v", n, saved, removed, excluded, writes, err)
	}
	// What it says is what happens.
	want := make(map[crypto.ID]bool)
	opts.Observer = transfer.RewriteObserver{Saved: func(_, version *snapshot.Snapshot) { want[*version.Tree] = true }}
	if _, err := transfer.Rewrite(t.Context(), r, all(t, r), opts); err != nil {
		t.Fatal(err)
	}
	opts.DryRun = false
	if _, err := transfer.Rewrite(t.Context(), r, all(t, r), opts); err != nil {
		t.Fatal(err)
	}
	for _, sn := range all(t, r) {
		if !want[*sn.Tree] {
			t.Errorf("tree %v was not foretold", sn.Tree)
		}
	}
	sound(t, s)
}

// TestRewriteLosesNoSnapshot fails every step.
func TestRewriteLosesNoSnapshot(t *testing.T) {
	for _, forget := range []bool{false, true} {
		for _, fault := range []backendtest.Fault{backendtest.Fail, backendtest.FailLate} {
			for step := 0; ; step++ {
				s := newStore(t, 2)
				r := s.open(t)
				for i := range 2 {
					backUp(t, r, files{"f": []byte("x"), "d/f": []byte(fmt.Sprint(i)), "d/g": []byte("y")}, snapshot.Snapshot{Time: time.Unix(int64(i+1), 0)})
				}
				before := all(t, r)
				met := s.failAt(step, fault)
				opts := &transfer.RewriteOptions{Excludes: patterns(t, "g"), Forget: forget}
				rewrite := func() error {
					return locked(t.Context(), r, repo.ExclusiveLock, func(ctx context.Context) error {
						_, err := transfer.Rewrite(ctx, r, all(t, r), opts)
						return err
					})
				}
				err := rewrite()
				if !met() {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				if !errors.Is(err, backendtest.ErrInjected) {
					t.Errorf("step %d: %v", step, err)
				}
				sound(t, s)
				r = s.open(t)
				for _, old := range before {
					if !slices.ContainsFunc(all(t, r), func(sn *snapshot.Snapshot) bool {
						return sn.ID == old.ID || sn.Original != nil && *sn.Original == old.ID
					}) {
						t.Errorf("forget %v, fault %d in step %d: snapshot %v is lost", forget, fault, step, old.ID)
					}
				}
				if err := rewrite(); err != nil {
					t.Fatal(err)
				}
				sound(t, s)
				if forget {
					for _, sn := range all(t, r) {
						if slices.Contains(listing(t, r, sn), "/d/g") {
							t.Errorf("fault %d in step %d: trying again leaves the old snapshot", fault, step)
						}
					}
				}
			}
		}
	}
}

// rawTree stores a tree as it is given.
func rawTree(t testing.TB, r *repo.Repo, json string) *snapshot.Snapshot {
	t.Helper()
	sn := &snapshot.Snapshot{Time: time.Unix(1, 0), Paths: []string{"/"}}
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		saved, err := w.SaveBlob(ctx, index.TreeBlob, []byte(json))
		sn.Tree = &saved.ID
		return err
	})
	if err == nil {
		sn.ID, err = r.SaveSnapshot(t.Context(), sn)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sn
}

const rawNode = `{"name":"%s","type":"fifo","mtime":"2020-01-01T00:00:00Z","atime":"2020-01-01T00:00:00Z","ctime":"2020-01-01T00:00:00Z","uid":0,"gid":0,"content":null%s}`

func TestRewriteRefusesWhatItWouldLose(t *testing.T) {
	for _, c := range []struct {
		name, tree string
		unknown    bool
	}{
		{"as it should be", `{"nodes":[` + fmt.Sprintf(rawNode, "a", "") + "]}\n", false},
		{"unknown member of a node", `{"nodes":[` + fmt.Sprintf(rawNode, "a", `,"future":1`) + "]}\n", true},
		{"unknown member of the tree", `{"nodes":[` + fmt.Sprintf(rawNode, "a", "") + `],"future":1}` + "\n", true},
		{"no line feed", `{"nodes":[` + fmt.Sprintf(rawNode, "a", "") + "]}", true},
		{"disorder", `{"nodes":[` + fmt.Sprintf(rawNode, "b", "") + "," + fmt.Sprintf(rawNode, "a", "") + "]}\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t, 2)
			r := s.open(t)
			sn := rawTree(t, r, c.tree)
			for _, opts := range []*transfer.RewriteOptions{{Excludes: patterns(t, "x")}, {Includes: patterns(t, "a")}, {Summary: true}} {
				_, err := transfer.Rewrite(t.Context(), r, []*snapshot.Snapshot{sn}, opts)
				var unknown *transfer.UnknownContentError
				var disorder *tree.OrderError
				if errors.As(err, &unknown) != c.unknown || errors.As(err, &disorder) != (c.name == "disorder") || (err != nil) != (c.unknown || disorder != nil) {
					t.Errorf("%v", err)
				}
				if c.unknown && (unknown.Path != "/" || unknown.Tree != *sn.Tree) {
					t.Errorf("%+v", unknown)
				}
			}
			// Without a look into trees it does not matter.
			if n, err := transfer.Rewrite(t.Context(), r, []*snapshot.Snapshot{sn}, &transfer.RewriteOptions{Hostname: "x"}); n != 1 || err != nil {
				t.Error(n, err)
			}
		})
	}
}

// TestRewriteReadsSharedFoldersOnce counts the reads of trees.
func TestRewriteReadsSharedFoldersOnce(t *testing.T) {
	s := newStore(t, 2)
	r := s.open(t)
	f := files{}
	for i := range 100 {
		f[fmt.Sprintf("d%02d/s/f.o", i)] = []byte{byte(i)}
	}
	for i := range 5 {
		f["new"] = []byte{byte(i)}
		backUp(t, r, f, snapshot.Snapshot{Time: time.Unix(int64(i+1), 0)})
	}
	reads := 0
	s.SetRule(func(op layer.Op, h backend.Handle, _ int) backendtest.Fault {
		if op == layer.OpLoad && h.Metadata {
			reads++
		}
		return backendtest.None
	})
	n, err := transfer.Rewrite(t.Context(), r, all(t, r), &transfer.RewriteOptions{Excludes: patterns(t, "s/*.o")})
	if err != nil || n != 5 {
		t.Fatal(n, err)
	}
	if want := 201 + 4; reads != want {
		t.Errorf("%d trees were read, want %d", reads, want)
	}
	sound(t, s)
}

// naive rewrites a tree in the plainest way.
func naive(t testing.TB, r *repo.Repo, id crypto.ID, dir string, opts *transfer.RewriteOptions) (crypto.ID, uint) {
	b, err := r.LoadBlob(t.Context(), index.BlobHandle{Type: index.TreeBlob, ID: id}, nil)
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := tree.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	match := func(lists []*pattern.List, path string) (matched, below bool) {
		if len(lists) == 0 {
			return false, false
		}
		return lists[0].Match(path)
	}
	var kept []tree.Node
	files := uint(0)
	for _, n := range nodes {
		p := path.Join(dir, n.Name)
		if out, _ := match(opts.Excludes, p); out {
			continue
		}
		if len(opts.Includes) > 0 {
			if in, below := match(opts.Includes, p); !in && (n.Type != tree.TypeDir || !below) {
				continue
			}
		}
		if n.Type == tree.TypeFile {
			files++
		}
		if n.Type == tree.TypeDir {
			var more uint
			if n.Subtree, more = naive(t, r, n.Subtree, p, opts); n.Subtree.IsZero() {
				continue
			}
			files += more
		}
		kept = append(kept, n)
	}
	if in, _ := match(opts.Includes, dir); len(kept) == 0 && len(opts.Includes) > 0 && !in {
		return crypto.ID{}, files
	}
	if b, err = tree.Encode(kept); err != nil {
		t.Fatal(err)
	}
	return crypto.Hash(b), files
}

// TestRewriteAgreesWithAModel rewrites random trees by random patterns.
func TestRewriteAgreesWithAModel(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	rapid.Check(t, func(rt *rapid.T) {
		s := newStore(t, 2)
		r := s.open(t)
		for i := range rapid.IntRange(1, 3).Draw(rt, "snapshots") {
			f := files{}
			for range rapid.IntRange(1, 12).Draw(rt, "files") {
				parts := rapid.SliceOfN(name, 1, 5).Draw(rt, "path")
				f[strings.Join(parts, "/")+"/"+rapid.SampledFrom([]string{"f", "g.o", "void"}).Draw(rt, "name")] = []byte("x")
			}
			for p := range f {
				if strings.HasSuffix(p, "void") {
					f[p] = nil
				}
			}
			backUp(t, r, f, snapshot.Snapshot{Time: time.Unix(int64(i+1), 0)})
		}
		var list []string
		for range rapid.IntRange(1, 3).Draw(rt, "patterns") {
			list = append(list, rapid.SampledFrom([]string{"", "/", "!", "!/"}).Draw(rt, "prefix")+
				strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "*", "**", "f", "*.o", "void"}), 1, 3).Draw(rt, "pattern"), "/"))
		}
		opts := &transfer.RewriteOptions{Excludes: patterns(t, list...), Forget: true}
		if rapid.Bool().Draw(rt, "include") {
			opts.Excludes, opts.Includes = nil, opts.Excludes
		}
		type outcome struct {
			tree  crypto.ID
			files uint
		}
		want := make(map[int64]outcome)
		for _, sn := range all(t, r) {
			id, files := naive(t, r, *sn.Tree, "/", opts)
			if id.IsZero() {
				id, files = *sn.Tree, sn.Summary.TotalFilesProcessed
			}
			want[sn.Time.Unix()] = outcome{id, files}
		}
		if _, err := transfer.Rewrite(t.Context(), r, all(t, r), opts); err != nil {
			rt.Fatal(err)
		}
		for _, sn := range all(t, r) {
			if got := (outcome{*sn.Tree, sn.Summary.TotalFilesProcessed}); got != want[sn.Time.Unix()] {
				rt.Fatalf("patterns %q: %+v, want %+v", list, got, want[sn.Time.Unix()])
			}
		}
		sound(t, s)
	})
}

// TestHugeFoldersAreTransferred rewrites and copies a folder whose tree does
// not fit into memory, with more files than are on one list of blobs.
func TestHugeFoldersAreTransferred(t *testing.T) {
	if testing.Short() {
		t.Skip("stores 110,000 blobs")
	}
	src, dst := newStore(t, 2), newStore(t, 2)
	r := src.open(t)
	sn := &snapshot.Snapshot{Time: time.Unix(1, 0), Paths: []string{"/"}}
	const count = 110_000
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		b := r.NewTreeBuilder()
		defer b.Close()
		for i := range count {
			data, err := w.SaveBlob(ctx, index.DataBlob, binary.BigEndian.AppendUint32(nil, uint32(i)))
			if err != nil {
				return err
			}
			n := &tree.Node{Name: fmt.Sprintf("file with a name of quite some length, so that few of them are enough here, %08d", i), Type: tree.TypeFile, Size: 4, Content: []crypto.ID{data.ID}}
			if err := b.Add(n); err != nil {
				return err
			}
		}
		saved, err := b.Save(ctx, w)
		sn.Tree = &saved.ID
		if b.Size() < repo.LargeBlob {
			t.Errorf("the tree has only %d bytes", b.Size())
		}
		return err
	})
	if err == nil {
		sn.ID, err = r.SaveSnapshot(t.Context(), sn)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Rewrite(t.Context(), r, all(t, r), &transfer.RewriteOptions{Excludes: patterns(t, "*00000007"), Forget: true}); err != nil {
		t.Fatal(err)
	}
	list := all(t, r)
	if s := list[0].Summary; s == nil || s.TotalFilesProcessed != count-1 || s.TotalBytesProcessed != 4*(count-1) {
		t.Errorf("%+v", s)
	}
	reports := 0
	res, err := transfer.Copy(t.Context(), r, dst.open(t), list, &transfer.CopyOptions{Progress: func(transfer.CopyProgress) { reports++ }})
	if err != nil || res.Blobs != count || reports < 4 {
		t.Fatalf("%+v, %d reports, %v", res, reports, err)
	}
	sound(t, dst)
	b := dst.open(t)
	if got := len(listing(t, b, all(t, b)[0])); got != count-1 || b.Index().Len() != count {
		t.Errorf("%d files and %d blobs have arrived", got, b.Index().Len())
	}
}
