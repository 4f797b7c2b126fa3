package find_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/find"
	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

func ExampleNames() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	files := source.FS(fstest.MapFS{"etc/hosts": {Data: []byte("127.0.0.1")}, "etc/motd": {Data: []byte("hello")}})
	res, err := backup.Run(ctx, r, files, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	search, err := find.NewNames(r, find.Query{Patterns: []string{"HOST*"}, IgnoreCase: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = search.In(ctx, res.Snapshot, func(path string, n *tree.Node) error {
		_, err := fmt.Println(path, n.Size)
		return err
	})
	fmt.Println(err)
	// Output:
	// /etc/hosts 9
	// <nil>
}

func ExampleObjects() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := backup.Run(ctx, r, source.FS(fstest.MapFS{"motd": {Data: []byte("hello")}}), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	id := crypto.Hash([]byte("hello")).String()
	search, err := find.NewObjects(ctx, r, find.Blobs, []string{id[:8]}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = search.In(ctx, res.Snapshot, func(o find.Object) error {
		_, err := fmt.Println(o.Blob, "in", o.Path)
		return err
	})
	fmt.Println(err)
	// Output:
	// data/2cf24dba in /motd
	// <nil>
}

// open returns a repository that counts how often packs are loaded.
func open(t *testing.T) (*repo.Repo, *atomic.Int64) {
	t.Helper()
	loads := new(atomic.Int64)
	return repotest.Open(t, layer.Observe(mem.New(), func(e layer.Event) {
		if e.Op == layer.OpLoad && e.Handle.Type == backend.PackFile {
			loads.Add(1)
		}
	})), loads
}

func at(root crypto.ID) *snapshot.Snapshot { return &snapshot.Snapshot{Tree: &root} }

func names(t *testing.T, s *find.Names, root crypto.ID) (paths []string) {
	t.Helper()
	err := s.In(t.Context(), at(root), func(path string, _ *tree.Node) error {
		paths = append(paths, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestWhatHasNoHitIsReadOnce(t *testing.T) {
	r, loads := open(t)
	var one, two crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) {
		x := b.Data("x")
		barren := b.Tree(repotest.Folder("c", b.Tree(repotest.File("d", 1, x))))
		good := b.Tree(repotest.File("hit", 1, x))
		moved := b.Tree(repotest.File("e", 1, x))
		one = b.Tree(repotest.Folder("a", barren), repotest.Folder("g", good), repotest.Folder("m", moved))
		two = b.Tree(repotest.Folder("a", barren), repotest.Folder("g", good), repotest.Folder("hit", moved))
	})
	s, err := find.NewNames(r, find.Query{Patterns: []string{"hit"}})
	if err != nil {
		t.Fatal(err)
	}
	loads.Store(0)
	if got := names(t, s, one); !slices.Equal(got, []string{"/g/hit"}) {
		t.Errorf("one: %q", got)
	}
	if n := loads.Load(); n != 5 {
		t.Errorf("%d trees loaded, want 5", n)
	}
	loads.Store(0)
	if got := names(t, s, one); !slices.Equal(got, []string{"/g/hit"}) {
		t.Errorf("one again: %q", got)
	}
	if n := loads.Load(); n != 2 {
		t.Errorf("%d trees loaded again, want the root and g", n)
	}
	// What has no hit at one path may have one at another.
	if got := names(t, s, two); !slices.Equal(got, []string{"/g/hit", "/hit", "/hit/e"}) {
		t.Errorf("two: %q", got)
	}
}

func TestTimesLimitHits(t *testing.T) {
	r, _ := open(t)
	day := func(n int) time.Time { return time.Date(2024, 1, n, 0, 0, 0, 0, time.UTC) }
	var root crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) {
		var nodes []tree.Node
		for i := range 5 {
			n := repotest.File(fmt.Sprint("f", i+1), 0)
			n.ModTime = day(i + 1)
			nodes = append(nodes, n)
		}
		root = b.Tree(nodes...)
	})
	for _, c := range []struct {
		oldest, newest time.Time
		want           int
	}{{want: 5}, {oldest: day(2), want: 4}, {newest: day(2), want: 2}, {oldest: day(2), newest: day(4), want: 3}} {
		s, err := find.NewNames(r, find.Query{Patterns: []string{"f?"}, Oldest: c.oldest, Newest: c.newest})
		if err != nil {
			t.Fatal(err)
		}
		if got := names(t, s, root); len(got) != c.want {
			t.Errorf("from %v to %v: %q", c.oldest, c.newest, got)
		}
	}
	if _, err := find.NewNames(r, find.Query{Patterns: []string{"["}}); !errors.As(err, new(*pattern.Error)) {
		t.Errorf("bad pattern: %v", err)
	}
}

func TestUnreadableFoldersAreToldEveryTime(t *testing.T) {
	r, _ := open(t)
	var root crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) {
		inner := b.Tree(repotest.Folder("lost", crypto.Hash([]byte("lost"))), repotest.File("z", 0))
		root = b.Tree(repotest.Folder("a", inner), repotest.File("hit", 0))
	})
	var problems []string
	problem := func(path string, err error) error {
		if !errors.As(err, new(*repo.MissingBlobError)) {
			t.Errorf("%s: %v", path, err)
		}
		problems = append(problems, path)
		return nil
	}
	s, err := find.NewNames(r, find.Query{Patterns: []string{"hit"}, Problem: problem})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := names(t, s, root); !slices.Equal(got, []string{"/hit"}) {
			t.Errorf("found %q", got)
		}
	}
	if !slices.Equal(problems, []string{"/a/lost", "/a/lost"}) {
		t.Errorf("problems in %q", problems)
	}
	if s, err = find.NewNames(r, find.Query{Patterns: []string{"hit"}}); err != nil {
		t.Fatal(err)
	}
	err = s.In(t.Context(), at(root), func(string, *tree.Node) error { return nil })
	if !errors.As(err, new(*repo.MissingBlobError)) {
		t.Errorf("without a handler: %v", err)
	}
	lost := crypto.Hash([]byte("gone"))
	problems = nil
	if s, err = find.NewNames(r, find.Query{Patterns: []string{"hit"}, Problem: problem}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, lost); len(got) != 0 || !slices.Equal(problems, []string{"/"}) {
		t.Errorf("a lost root: %q, problems in %q", got, problems)
	}
}

func objects(t *testing.T, s *find.Objects, root crypto.ID) (places []string) {
	t.Helper()
	err := s.In(t.Context(), at(root), func(o find.Object) error {
		places = append(places, fmt.Sprint(o.Blob.Type, " ", o.Path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return places
}

func TestObjectsAreFoundWhereTheyAreInUse(t *testing.T) {
	r, loads := open(t)
	var x, missing, sub, root crypto.ID
	missing = crypto.Hash([]byte("missing"))
	repotest.Build(t, r, func(b *repotest.Builder) {
		x = b.Data("x")
		y := b.Data("y")
		sub = b.Tree(repotest.File("f", 3, y, x, x))
		root = b.Tree(repotest.Folder("a", sub), repotest.Folder("b", sub), repotest.File("lost", 1, missing), repotest.Folder("n", b.Tree(repotest.File("g", 1, y))))
	})
	search := func(kind find.Kind, ids ...string) *find.Objects {
		s, err := find.NewObjects(t.Context(), r, kind, ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := search(find.Blobs, x.String()[:6])
	want := []string{"data /a/f", "data /a/f", "data /b/f", "data /b/f"}
	loads.Store(0)
	if got := objects(t, s, root); !slices.Equal(got, want) || loads.Load() != 4 {
		t.Errorf("blob: %q with %d loads", got, loads.Load())
	}
	loads.Store(0)
	if got := objects(t, s, root); !slices.Equal(got, want) || loads.Load() != 3 {
		t.Errorf("blob again: %q with %d loads", got, loads.Load())
	}
	if got, unknown := s.Found(); !slices.Equal(got, []index.BlobHandle{{Type: index.DataBlob, ID: x}}) || unknown != nil {
		t.Errorf("found %v and not %q", got, unknown)
	}
	s = search(find.Blobs, missing.String(), "fffffff")
	if got := objects(t, s, root); !slices.Equal(got, []string{"data /lost"}) {
		t.Errorf("blob that is not there: %q", got)
	}
	if _, unknown := s.Found(); !slices.Equal(unknown, []string{"fffffff"}) {
		t.Errorf("unknown: %q", unknown)
	}
	s = search(find.Trees, sub.String())
	for range 2 { // only the first hit of each snapshot, as many as IDs
		if got := objects(t, s, root); !slices.Equal(got, []string{"tree /a"}) {
			t.Errorf("tree: %q", got)
		}
	}
	s = search(find.Trees, sub.String(), root.String(), "ffff")
	if got := objects(t, s, root); !slices.Equal(got, []string{"tree /", "tree /a", "tree /b"}) {
		t.Errorf("trees: %q", got)
	}
}

func TestPacksStandForWhatIsInThem(t *testing.T) {
	be := mem.New()
	r := repotest.Open(t, be)
	var root crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) {
		root = b.Tree(repotest.File("f", 1, b.Data("x")))
	})
	packs := map[index.BlobType]string{}
	for id, info := range r.Index().Packs() {
		if info.Blobs[index.TreeBlob] > 0 {
			packs[index.TreeBlob] = id.String()
		} else {
			packs[index.DataBlob] = id.String()
		}
	}
	// Known from the index, and from its header when no index has it.
	unindexed, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range []*repo.Repo{r, unindexed} {
		s, err := find.NewObjects(t.Context(), rr, find.Packs, []string{packs[index.DataBlob][:10], packs[index.TreeBlob]}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := s.Found(); len(got) != 2 {
			t.Errorf("%v in the packs", got)
		}
		if rr == r {
			if got := objects(t, s, root); !slices.Equal(got, []string{"tree /", "data /f"}) {
				t.Errorf("packs: %q", got)
			}
		}
	}
	var unknown *find.PacksError
	_, err = find.NewObjects(t.Context(), r, find.Packs, []string{packs[index.DataBlob], "00000000", "zz"}, nil)
	if !errors.As(err, &unknown) || !slices.Equal(unknown.IDs, []string{"00000000", "zz"}) {
		t.Errorf("unknown packs: %v", err)
	}
}
