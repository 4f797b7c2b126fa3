package mount

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

// testRepo is a repository in memory in which operations may go wrong.
type testRepo struct {
	*repo.Repo
	be *backendtest.Faulty
}

func newRepo(t testing.TB) *testRepo {
	t.Helper()
	be := backendtest.NewFaulty(mem.New(), nil)
	repotest.InitBackend(t, be, "secret", 2)
	r := &testRepo{be: be}
	r.Repo = r.open(t)
	return r
}

// open opens the repository once more, without what this Repo knows.
func (r *testRepo) open(t testing.TB) *repo.Repo {
	t.Helper()
	again, err := repo.Open(t.Context(), r.be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func (r *testRepo) backup(t testing.TB, src source.Source, opts *backup.Options) *snapshot.Snapshot {
	t.Helper()
	res, err := backup.Run(t.Context(), r.Repo, src, opts)
	if err != nil {
		t.Fatal(err)
	}
	return res.Snapshot
}

// view makes a View that fails the test if it reports anything.
func (r *testRepo) view(t testing.TB, opts *Options) *View {
	t.Helper()
	if opts == nil {
		opts = &Options{}
	}
	if opts.Report == nil {
		opts.Report = func(err error) { t.Errorf("reported: %v", err) }
	}
	v, err := New(t.Context(), r.open(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// loads makes a function that counts the requests for packs since it was
// called last.
func (r *testRepo) loads() func() int {
	var mu sync.Mutex
	count := 0
	r.be.SetRule(func(op layer.Op, h backend.Handle, n int) backendtest.Fault {
		if op == layer.OpLoad && h.Type == backend.PackFile {
			mu.Lock()
			count++
			mu.Unlock()
		}
		return backendtest.None
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		n := count
		count = 0
		return n
	}
}

// failPacks lets all loads of packs go wrong.
func (r *testRepo) failPacks(f backendtest.Fault) {
	r.be.SetRule(func(op layer.Op, h backend.Handle, n int) backendtest.Fault {
		if op == layer.OpLoad && h.Type == backend.PackFile {
			return f
		}
		return backendtest.None
	})
}

func TestViewIsAFileSystem(t *testing.T) {
	r := newRepo(t)
	when := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	src := fstest.MapFS{
		"a/b/deep":   {Data: []byte("deep"), Mode: 0o600, ModTime: when},
		"a/empty":    {Mode: 0o644, ModTime: when},
		"a/large":    {Data: repotest.Random(1, 700<<10), Mode: 0o444, ModTime: when},
		"ümläut 名前":  {Data: []byte("x"), Mode: 0o640 | fs.ModeSetuid, ModTime: when},
		"empty":      {Mode: fs.ModeDir | 0o700, ModTime: when},
		"a/link":     {Data: []byte("b/deep"), Mode: fs.ModeSymlink | 0o777, ModTime: when},
		"a/up":       {Data: []byte("../ümläut 名前"), Mode: fs.ModeSymlink | 0o777, ModTime: when},
		"a/b/folder": {Data: []byte("../../a"), Mode: fs.ModeSymlink | 0o777, ModTime: when},
	}
	sn := r.backup(t, source.FS(src), &backup.Options{Snapshot: snapshot.Snapshot{Hostname: "alpha", Tags: []string{"x", "y"}, Time: when}})
	v := r.view(t, nil)
	at := "2024-05-06T07:08:09Z"
	if err := fstest.TestFS(v, "ids/"+sn.ID.Short()+"/a/b/deep", "snapshots/"+at+"/empty", "snapshots/latest",
		"hosts/alpha/latest", "tags/x/"+at+"/ümläut 名前", "tags/y/"+at+"/a/large"); err != nil {
		t.Error(err)
	}
	for p, want := range map[string]string{
		"snapshots/latest/a/link": "deep", "snapshots/latest/a/up": "x", "hosts/alpha/latest/a/b/folder/b/deep": "deep",
	} {
		if b, err := fs.ReadFile(v, p); string(b) != want {
			t.Errorf("%s: %q, %v", p, b, err)
		}
	}
	sub, err := fs.Sub(v, "snapshots/latest")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(sub, "a/large"); !bytes.Equal(b, src["a/large"].Data) {
		t.Errorf("a/large: %d bytes, %v", len(b), err)
	}
}

// TestPathsThatLeadNowhereFail looks for the errors that programs act on.
func TestPathsThatLeadNowhereFail(t *testing.T) {
	r := newRepo(t)
	link := func(target string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
	}
	r.backup(t, source.FS(fstest.MapFS{
		"file": {Data: []byte("x"), Mode: 0o644}, "absolute": link("/file"), "out": link("../../../file"),
		"loop": link("pool"), "pool": link("loop"), "dangling": link("nothing"),
	}), nil)
	v := r.view(t, nil)
	for p, want := range map[string]error{
		"nothing": fs.ErrNotExist, "snapshots/latest/nothing": fs.ErrNotExist, "snapshots/latest/file/x": fs.ErrNotExist,
		"snapshots/latest/dangling": fs.ErrNotExist, "snapshots/latest/absolute": errLeavesView, "snapshots/latest/out": errLeavesView,
		"snapshots/latest/loop": errTooManyLinks, "/snapshots": fs.ErrInvalid, "../x": fs.ErrInvalid, "snapshots/": fs.ErrInvalid,
	} {
		_, err := v.Open(p)
		if pathErr := (*fs.PathError)(nil); !errors.Is(err, want) || !errors.As(err, &pathErr) {
			t.Errorf("open %s: %v, want %v", p, err, want)
		}
		if _, err := v.Stat(p); !errors.Is(err, want) {
			t.Errorf("stat %s: %v, want %v", p, err, want)
		}
	}
	if _, err := v.ReadLink("snapshots/latest/file"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("readlink of a file: %v", err)
	}
	if target, err := v.ReadLink("snapshots/latest/dangling"); target != "nothing" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	if _, err := v.ReadDir("snapshots/latest/file"); !errors.Is(err, errNotFolder) {
		t.Errorf("readdir of a file: %v", err)
	}
	if _, err := fs.ReadFile(v, "snapshots"); !errors.Is(err, errIsFolder) {
		t.Errorf("read of a folder: %v", err)
	}
}

// TestNamesOfOneFileShareAnInode: within a snapshot, not over several, where
// the content may differ.
func TestNamesOfOneFileShareAnInode(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, err := range []error{
		os.MkdirAll("x/sub", 0o755), os.WriteFile("x/a", []byte("1"), 0o644), os.Link("x/a", "x/sub/b"), os.WriteFile("x/c", nil, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := newRepo(t)
	inodes := func(v *View, sn *snapshot.Snapshot) (list []uint64) {
		for _, p := range []string{"x/a", "x/sub/b", "x/c", "x", ""} {
			it, err := v.resolve(t.Context(), path.Join("ids", sn.ID.Short(), p), false)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, it.ino)
		}
		return list
	}
	run := func() *snapshot.Snapshot {
		src, err := source.Dir([]string{"x"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.backup(t, src, nil)
	}
	first := run()
	if err := os.WriteFile("x/a", []byte("2"), 0o644); err != nil {
		t.Fatal(err)
	}
	second := run()
	v := r.view(t, nil)
	a, b := inodes(v, first), inodes(v, second)
	if a[0] != a[1] || b[0] != b[1] {
		t.Errorf("names of one file have inodes %d and %d", a[:2], b[:2])
	}
	all := slices.Concat(a[1:], b[1:])
	slices.Sort(all)
	if len(slices.Compact(all)) != len(a[1:])+len(b[1:]) {
		t.Errorf("different items share an inode: %d, %d", a, b)
	}
	if again := inodes(r.view(t, nil), first); !reflect.DeepEqual(a, again) {
		t.Errorf("another view has other inodes: %d, %d", a, again)
	}
}

// TestOddTreesAreShown has trees as old or broken programs wrote them.
func TestOddTreesAreShown(t *testing.T) {
	r := newRepo(t)
	file := func(name string, uid uint32) tree.Node {
		return tree.Node{Name: name, Type: tree.TypeFile, UID: uid, Content: []crypto.ID{}, Mode: 0o644}
	}
	inner := r.saveTree(t, file("in", 1), file("twice", 2))
	sub := r.saveTree(t, file("q", 3))
	root := r.saveTree(t, file("z", 4), file("a", 5), file("twice", 6), file("..", 7), file("a/b", 8), file("", 9),
		tree.Node{Name: "/", Type: tree.TypeDir, Subtree: inner}, tree.Node{Name: "sub", Type: tree.TypeDir, Subtree: sub},
		tree.Node{Name: "lost", Type: tree.TypeDir}, tree.Node{Name: "odd", Type: tree.TypeIrregular},
		tree.Node{Name: "sock", Type: tree.TypeSocket}, tree.Node{Name: "new", Type: "wormhole"})
	sn := r.saveSnapshot(t, &snapshot.Snapshot{Time: time.Now(), Tree: &root})
	var reported []string
	v := r.view(t, &Options{Report: func(err error) { reported = append(reported, err.Error()) }})
	at := "ids/" + sn.ID.Short()
	list, err := v.ReadDir(at)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		info, _ := e.Info()
		got = append(got, fmt.Sprintf("%s %v %d", e.Name(), e.Type(), info.Sys().(*tree.Node).UID))
	}
	want := []string{"a ---------- 5", "in ---------- 1", "lost d--------- 0", "new ?--------- 0", "odd ?--------- 0", "sock S--------- 0",
		"sub d--------- 0", "twice ---------- 2", "z ---------- 4"}
	if !slices.Equal(got, want) {
		t.Errorf("there is %q\nwant %q", got, want)
	}
	if len(reported) != 3 || !strings.Contains(reported[0], "invalid name") {
		t.Errorf("reported: %q", reported)
	}
	if _, err := v.ReadDir(at + "/lost"); err == nil {
		t.Error("a folder without a tree can be listed")
	}
	if _, err := fs.ReadFile(v, at+"/odd"); !errors.Is(err, errIrregular) {
		t.Errorf("reading what is no file: %v", err)
	}
	if b, err := fs.ReadFile(v, at+"/sub/q"); len(b) != 0 || err != nil {
		t.Errorf("sub/q: %q, %v", b, err)
	}
}

// saveTree stores a tree as it is, however wrong.
func (r *testRepo) saveTree(t testing.TB, nodes ...tree.Node) (id crypto.ID) {
	t.Helper()
	b := []byte(tree.Header)
	for i := range nodes {
		var err error
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = tree.AppendNode(b, &nodes[i]); err != nil {
			t.Fatal(err)
		}
	}
	return r.saveBlobs(t, treeBlob(append(b, tree.Trailer...)))[0]
}
