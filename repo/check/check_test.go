package check_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/check"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// sample is a repository with one snapshot of a folder and a file of two
// blobs.
type sample struct {
	be   *mem.Backend
	repo *repo.Repo
	file [2]index.BlobHandle
	root crypto.ID
}

func newSample(t *testing.T, change func(n *tree.Node)) *sample {
	t.Helper()
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &sample{be: be, repo: r}
	when := time.Unix(1_700_000_000, 0)
	err = r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		f := tree.Node{Name: "f", Type: tree.TypeFile, ModTime: when, AccessTime: when, ChangeTime: when, Content: []crypto.ID{}}
		for i := range s.file {
			saved, err := w.SaveBlob(ctx, index.DataBlob, repotest.Random(byte(i), 5000))
			if err != nil {
				return err
			}
			s.file[i] = index.BlobHandle{Type: index.DataBlob, ID: saved.ID}
			f.Content = append(f.Content, saved.ID)
		}
		if change != nil {
			change(&f)
		}
		sub, err := saveTree(ctx, w, &f)
		if err != nil {
			return err
		}
		s.root, err = saveTree(ctx, w, &tree.Node{Name: "d", Type: tree.TypeDir, Mode: fs.ModeDir | 0o755, ModTime: when, AccessTime: when, ChangeTime: when, Subtree: sub})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SaveSnapshot(t.Context(), &snapshot.Snapshot{Time: when, Tree: &s.root, Paths: []string{"/d"}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func saveTree(ctx context.Context, w *repo.Writer, nodes ...*tree.Node) (crypto.ID, error) {
	b := []byte(tree.Header)
	for i, n := range nodes {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = tree.AppendNode(b, n); err != nil {
			return crypto.ID{}, err
		}
	}
	saved, err := w.SaveBlob(ctx, index.TreeBlob, append(b, tree.Trailer...))
	return saved.ID, err
}

func (s *sample) check(t *testing.T, data bool) *check.Report {
	t.Helper()
	opts := &check.Options{}
	if data {
		opts.SelectPacks = check.AllPacks
	}
	rep, err := check.Run(t.Context(), s.repo, opts)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// pack returns the pack of a blob, and its bytes.
func (s *sample) pack(t *testing.T, h index.BlobHandle) (backend.Handle, []byte) {
	t.Helper()
	l := s.repo.Index().Lookup(nil, h)[0]
	file := backend.Handle{Type: backend.PackFile, Name: l.Pack.String()}
	b, err := s.be.Load(t.Context(), file, 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file, bytes.Clone(b)
}

func (s *sample) put(t *testing.T, h backend.Handle, b []byte) {
	t.Helper()
	_ = s.be.Remove(t.Context(), h)
	if b != nil {
		if err := s.be.Save(t.Context(), h, backend.Bytes(b)); err != nil {
			t.Fatal(err)
		}
	}
}

func kinds(rep *check.Report) string {
	seen := make(map[check.Kind]int)
	for _, p := range rep.Problems {
		seen[p.Kind]++
	}
	return fmt.Sprint(seen)
}

func want(counts map[check.Kind]int) string { return fmt.Sprint(counts) }

func TestASoundRepositoryHasNoProblems(t *testing.T) {
	s := newSample(t, nil)
	rep := s.check(t, true)
	if rep.Errors+rep.Hints != 0 || rep.Snapshots != 1 || rep.Trees != 2 || rep.Packs != 2 || rep.PacksRead != 2 {
		t.Errorf("%+v", rep)
	}
}

func TestProblemsAreFoundAndNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(n *tree.Node)
		damage func(t *testing.T, s *sample)
		data   bool
		want   map[check.Kind]int
	}{
		"missing pack": {damage: func(t *testing.T, s *sample) {
			h, _ := s.pack(t, s.file[0])
			s.put(t, h, nil)
		}, want: map[check.Kind]int{check.MissingPack: 1}},
		"truncated pack": {damage: func(t *testing.T, s *sample) {
			h, b := s.pack(t, s.file[0])
			s.put(t, h, b[:len(b)-50])
		}, want: map[check.Kind]int{check.WrongPackSize: 1}},
		"bit rot in data": {data: true, damage: func(t *testing.T, s *sample) {
			h, b := s.pack(t, s.file[0])
			b[100] ^= 1
			s.put(t, h, b)
		}, want: map[check.Kind]int{check.DamagedPack: 1}},
		"bit rot in a header": {data: true, damage: func(t *testing.T, s *sample) {
			h, b := s.pack(t, s.file[0])
			b[len(b)-20] ^= 1
			s.put(t, h, b)
		}, want: map[check.Kind]int{check.DamagedPack: 1}},
		"bytes behind the end": {data: true, damage: func(t *testing.T, s *sample) {
			h, b := s.pack(t, s.file[0])
			s.put(t, h, append(b, "more"...))
		}, want: map[check.Kind]int{check.WrongPackSize: 1}},
		"truncated pack that is read": {data: true, damage: func(t *testing.T, s *sample) {
			h, b := s.pack(t, s.file[0])
			s.put(t, h, b[:len(b)-50])
		}, want: map[check.Kind]int{check.WrongPackSize: 1, check.UnreadablePack: 1}},
		"index that contradicts another": {damage: func(t *testing.T, s *sample) {
			for fi := range s.be.List(t.Context(), backend.IndexFile) {
				id, _ := crypto.ParseID(fi.Name)
				b, err := s.repo.LoadUnpacked(t.Context(), backend.IndexFile, id)
				if err != nil {
					t.Fatal(err)
				}
				c := index.NewCollector(time.Now)
				err = index.Decode(b, func(pack crypto.ID, blobs []index.Blob) error {
					c.Add(pack, blobs[:1])
					return nil
				})
				if err == nil {
					_, err = s.repo.SaveUnpacked(t.Context(), backend.IndexFile, c.Take(true))
				}
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}, want: map[check.Kind]int{check.ConflictIndex: 2}},
		"unindexed pack": {damage: func(t *testing.T, s *sample) {
			junk := []byte("an interrupted backup's pack")
			s.put(t, backend.Handle{Type: backend.PackFile, Name: crypto.Hash(junk).String()}, junk)
		}, want: map[check.Kind]int{check.UnindexedPack: 1}},
		"no index": {damage: func(t *testing.T, s *sample) {
			for fi := range s.be.List(t.Context(), backend.IndexFile) {
				s.put(t, backend.Handle{Type: backend.IndexFile, Name: fi.Name}, nil)
			}
		}, want: map[check.Kind]int{check.UnindexedPack: 2, check.DamagedTree: 1}},
		"damaged index": {damage: func(t *testing.T, s *sample) {
			junk := []byte("not an index file, but of the right name")
			s.put(t, backend.Handle{Type: backend.IndexFile, Name: crypto.Hash(junk).String()}, junk)
		}, want: map[check.Kind]int{check.DamagedIndex: 1}},
		"repeated index": {damage: func(t *testing.T, s *sample) {
			for fi := range s.be.List(t.Context(), backend.IndexFile) {
				id, _ := crypto.ParseID(fi.Name)
				b, err := s.repo.LoadUnpacked(t.Context(), backend.IndexFile, id)
				if err == nil {
					_, err = s.repo.SaveUnpacked(t.Context(), backend.IndexFile, b)
				}
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}, want: map[check.Kind]int{check.DuplicateIndex: 2}},
		"damaged snapshot": {damage: func(t *testing.T, s *sample) {
			junk := []byte("not a snapshot, but of the right name")
			s.put(t, backend.Handle{Type: backend.SnapshotFile, Name: crypto.Hash(junk).String()}, junk)
		}, want: map[check.Kind]int{check.DamagedSnapshot: 1}},
		"missing blob": {change: func(n *tree.Node) { n.Content = append(n.Content, crypto.RandomID()) },
			want: map[check.Kind]int{check.MissingBlob: 1}},
		"file without content": {change: func(n *tree.Node) { n.Content = nil }, want: map[check.Kind]int{check.InvalidNode: 1}},
		"odd type":             {change: func(n *tree.Node) { n.Type = "door" }, want: map[check.Kind]int{check.InvalidNode: 1}},
		"odd name":             {change: func(n *tree.Node) { n.Name = "../f" }, want: map[check.Kind]int{check.InvalidNode: 1}},
		"missing tree": {change: func(n *tree.Node) { n.Type, n.Content, n.Subtree = tree.TypeDir, nil, crypto.RandomID() },
			want: map[check.Kind]int{check.DamagedTree: 1}},
		"folder without tree": {change: func(n *tree.Node) { n.Type, n.Content = tree.TypeDir, nil }, want: map[check.Kind]int{check.InvalidNode: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSample(t, tc.change)
			if tc.damage != nil {
				tc.damage(t, s)
			}
			rep := s.check(t, tc.data)
			if got := kinds(rep); got != want(tc.want) {
				t.Errorf("%s, want %s: %v", got, want(tc.want), rep.Problems)
			}
			for _, p := range rep.Problems {
				if p.Error() == "" || p.Err == nil || (p.Snapshot.IsZero() && p.File.Name == "") {
					t.Errorf("a problem that names nothing: %+v", p)
				}
			}
			if broken := rep.BrokenPacks(); (len(broken) > 0) != rep.Has(check.DamagedPack, check.WrongPackSize, check.ConflictIndex) {
				t.Errorf("broken packs: %v", broken)
			}
		})
	}
}

func TestNamedSnapshots(t *testing.T) {
	s := newSample(t, nil)
	lost := crypto.RandomID()
	broken, err := s.repo.SaveSnapshot(t.Context(), &snapshot.Snapshot{Time: time.Unix(1_800_000_000, 0), Tree: &lost, Hostname: "other"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		opts check.Options
		want map[check.Kind]int
	}{
		{check.Options{}, map[check.Kind]int{check.DamagedTree: 1}},
		{check.Options{Filter: snapshot.Filter{Hosts: []string{"nobody"}}}, nil},
		{check.Options{Names: []string{"latest"}}, map[check.Kind]int{check.DamagedTree: 1}},
		{check.Options{Names: []string{broken.Short(), "latest"}}, map[check.Kind]int{check.DamagedTree: 1}},
		{check.Options{Names: []string{"ffffffffff"}}, map[check.Kind]int{check.MissingSnapshot: 1}},
		{check.Options{Filter: snapshot.Filter{Hosts: []string{"nobody"}}, Names: []string{"latest"}}, map[check.Kind]int{check.MissingSnapshot: 1}},
	} {
		rep, err := check.Run(t.Context(), s.repo, &tc.opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := kinds(rep); got != want(tc.want) {
			t.Errorf("%+v: %s, want %s", tc.opts, got, want(tc.want))
		}
	}
}

func TestUnorderedTreesAreReported(t *testing.T) {
	s := newSample(t, nil)
	var id crypto.ID
	err := s.repo.Write(t.Context(), func(ctx context.Context, w *repo.Writer) (err error) {
		id, err = saveTree(ctx, w, &tree.Node{Name: "b", Type: tree.TypeFifo}, &tree.Node{Name: "a", Type: tree.TypeFifo})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.repo.SaveSnapshot(t.Context(), &snapshot.Snapshot{Time: time.Now(), Tree: &id}); err != nil {
		t.Fatal(err)
	}
	if got := kinds(s.check(t, false)); got != want(map[check.Kind]int{check.InvalidNode: 1}) {
		t.Error(got)
	}
}

func TestPackSelections(t *testing.T) {
	var packs []check.Pack
	for i := range 256 {
		packs = append(packs, check.Pack{ID: crypto.ID{byte(i)}, Size: 1000})
	}
	seen := make(map[crypto.ID]int)
	for n := 1; n <= 7; n++ {
		for _, p := range check.PackGroup(n, 7)(packs) {
			seen[p.ID]++
		}
	}
	if len(seen) != 256 {
		t.Errorf("all groups together have %d packs", len(seen))
	}
	for f, n := range map[float64]int{0.5: 128, 1: 256, 0.0001: 1} {
		if got := len(check.RandomPacks(f)(packs)); got != n {
			t.Errorf("a fraction of %v: %d packs, want %d", f, got, n)
		}
	}
	if got := len(check.RandomBytes(64_000)(packs)); got != 64 {
		t.Errorf("64000 bytes: %d packs", got)
	}
	if len(check.RandomPacks(0.5)(nil)) != 0 || len(check.RandomBytes(5)(nil)) != 0 {
		t.Error("packs from nowhere")
	}
}

func ExampleRun() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	rep, err := check.Run(ctx, r, &check.Options{SelectPacks: check.AllPacks})
	if err != nil {
		fmt.Println("could not check:", err)
		return
	}
	for _, p := range rep.Problems {
		fmt.Println(strings.TrimSpace(p.Error()))
	}
	fmt.Println(rep.Errors, "errors")
	// Output: 0 errors
}
