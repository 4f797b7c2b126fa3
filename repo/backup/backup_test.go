package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	"github.com/garner-backup/garner/repo/check"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/restore"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

func newBackend(t testing.TB) *mem.Backend {
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	return be
}

func open(t testing.TB, be backend.Backend) *repo.Repo {
	t.Helper()
	r, err := repo.Open(t.Context(), be, "secret", &repo.Options{PackSize: repo.MinPackSize})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.LoadIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// files are a source of small and large files; seed changes half of them.
func files(seed byte) fstest.MapFS {
	m := fstest.MapFS{}
	for i := range 30 {
		content := repotest.Random(byte(i), 1000*i)
		if i%2 == 0 {
			content = repotest.Random(seed+byte(i), 1000*i)
		}
		m[fmt.Sprintf("d%d/f%d", i%4, i)] = &fstest.MapFile{Data: content, Mode: 0o644, ModTime: time.Unix(int64(seed), 0)}
	}
	m["large"] = &fstest.MapFile{Data: repotest.Random(seed, 9<<20), Mode: 0o600, ModTime: time.Unix(int64(seed), 0)}
	return m
}

func run(t testing.TB, r *repo.Repo, src source.Source, opts *backup.Options) *backup.Result {
	t.Helper()
	res, err := backup.Run(t.Context(), r, src, opts)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// whole fails the test unless the snapshot gives back the files.
func whole(t testing.TB, be backend.Backend, id crypto.ID, want fstest.MapFS) error {
	t.Helper()
	r := open(t, be)
	sn, err := r.LoadSnapshot(t.Context(), id)
	if err != nil {
		return err
	}
	target := t.TempDir()
	var problems []error
	var mu sync.Mutex
	_, err = restore.Run(t.Context(), r, *sn.Tree, target, &restore.Options{Observer: &restore.Observer{Error: func(path string, err error) {
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, fmt.Errorf("%s: %w", path, err))
	}}})
	if err != nil {
		return err
	}
	for name, f := range want {
		b, err := os.ReadFile(filepath.Join(target, name))
		if err != nil {
			problems = append(problems, err)
		} else if string(b) != string(f.Data) {
			problems = append(problems, fmt.Errorf("%s has other content", name))
		}
	}
	return errors.Join(problems...)
}

func TestBackupAndRestoreGiveTheSame(t *testing.T) {
	be := newBackend(t)
	src := files(1)
	res := run(t, open(t, be), source.FS(src, "/src"), nil)
	if err := whole(t, be, res.Snapshot.ID, src); err != nil {
		t.Error(err)
	}
	s := res.Snapshot.Summary
	if s.FilesNew != 31 || s.DirsNew != 4 || s.TreeBlobs != 5 || s.TotalFilesProcessed != 31 || s.TotalBytesProcessed != uint64(total(src)) {
		t.Errorf("%+v", s)
	}
}

func total(m fstest.MapFS) (n int) {
	for _, f := range m {
		n += len(f.Data)
	}
	return n
}

// TestNoFaultLosesAnythingSilently lets one operation of a backup go wrong, a
// different one each time. Whatever happens, the earlier snapshot stays
// whole. If the backup reports success, its snapshot is whole, or check finds
// out: the latter only where the storage lies.
func TestNoFaultLosesAnythingSilently(t *testing.T) {
	first, second := files(1), files(2)
	base := newBackend(t)
	before := run(t, open(t, base), source.FS(first), nil).Snapshot.ID
	lies := map[backendtest.Fault]bool{backendtest.Flip: true, backendtest.Tear: true, backendtest.Lose: true}
	for fault, name := range map[backendtest.Fault]string{
		backendtest.Fail: "fail", backendtest.FailLate: "fail late", backendtest.Flip: "flip", backendtest.Tear: "tear", backendtest.Lose: "lose",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				be := base.Clone()
				hit := false
				faulty := backendtest.NewFaulty(be, nil)
				r := open(t, faulty)
				faulty.SetRule(func(op layer.Op, _ backend.Handle, i int) backendtest.Fault {
					if op == layer.OpSave && i == n {
						hit = true
						return fault
					}
					return backendtest.None
				})
				res, err := backup.Run(t.Context(), r, source.FS(second), nil)
				if !hit {
					if n < 4 {
						t.Errorf("only %d saves in a backup", n)
					}
					return
				}
				// A damaged index file has to be repaired before anything is
				// read; that is not silent.
				if werr := whole2(t, be, before, first); werr != nil && !(lies[fault] && errors.As(werr, new(*repo.CorruptError))) {
					t.Fatalf("save %d: the earlier snapshot is damaged: %v", n, werr)
				}
				if err != nil {
					if lies[fault] {
						t.Errorf("save %d: %v", n, err)
					}
					continue
				}
				if !lies[fault] {
					t.Errorf("save %d failed, but the backup succeeded", n)
				}
				if werr := whole2(t, be, res.Snapshot.ID, second); werr != nil && !found(t, be) {
					t.Errorf("save %d: the snapshot is damaged (%v), and check finds nothing", n, werr)
				}
			}
		})
	}
}

// whole2 is whole for repositories that may not even open.
func whole2(t testing.TB, be backend.Backend, id crypto.ID, want fstest.MapFS) error {
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err == nil {
		err = r.LoadIndex(t.Context())
	}
	if err != nil {
		return err
	}
	return whole(t, be, id, want)
}

// found reports whether a check finds an error, or a snapshot is gone.
func found(t testing.TB, be backend.Backend) bool {
	t.Helper()
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		return true
	}
	rep, err := check.Run(t.Context(), r, &check.Options{SelectPacks: check.AllPacks})
	if err != nil {
		t.Fatal(err)
	}
	snapshots := 0
	for _, err := range r.AllSnapshots(t.Context()) {
		if err == nil {
			snapshots++
		}
	}
	return rep.Errors > 0 || snapshots < 2
}

func TestAStallEndsWithTheContext(t *testing.T) {
	faulty := backendtest.NewFaulty(newBackend(t), nil)
	r := open(t, faulty)
	faulty.SetRule(func(op layer.Op, h backend.Handle, _ int) backendtest.Fault {
		if op == layer.OpSave && h.Type == backend.PackFile {
			return backendtest.Stall
		}
		return backendtest.None
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := backup.Run(ctx, r, source.FS(files(1)), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
}

func TestUnchangedFilesAreNotRead(t *testing.T) {
	be := newBackend(t)
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("content of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir) // the folders above, which other tests change, are not part of "."
	read := func(opts backup.Options) (names []string, res *backup.Result) {
		src, err := source.Dir([]string{"."}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		opts.Observer = &backup.Observer{Start: func(path string) {
			mu.Lock()
			defer mu.Unlock()
			names = append(names, filepath.Base(path))
		}}
		return names, run(t, open(t, be), src, &opts)
	}
	names, first := read(backup.Options{})
	if len(names) != 3 {
		t.Errorf("the first backup read %v", names)
	}
	parent := first.Snapshot
	if names, res := read(backup.Options{Parent: parent}); len(names) != 0 || res.Snapshot.Summary.FilesUnmodified != 3 || *res.Snapshot.Tree != *parent.Tree {
		t.Errorf("the second read %v, %+v", names, res.Snapshot.Summary)
	}
	// Content of the same length with the old time: only the ctime tells.
	info, err := os.Stat(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the kernel's clock for ctime is coarse
	if err := os.WriteFile(filepath.Join(dir, "b"), []byte("CONTENT of b"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "b"), info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if names, _ := read(backup.Options{Parent: parent, IgnoreCtime: true}); len(names) != 0 {
		t.Errorf("without ctime: read %v", names)
	}
	if names, _ := read(backup.Options{Parent: parent, IgnoreInode: true}); len(names) != 0 {
		t.Errorf("without inode and ctime: read %v", names)
	}
	if names, res := read(backup.Options{Parent: parent}); len(names) != 1 || names[0] != "b" || res.Snapshot.Summary.FilesChanged != 1 {
		t.Errorf("with ctime: read %v", names)
	}
}

func TestFilesWhoseBlobsAreLostAreReadAgain(t *testing.T) {
	be := newBackend(t)
	src := fstest.MapFS{"f": &fstest.MapFile{Data: []byte("content"), ModTime: time.Unix(1, 0)}}
	parent := run(t, open(t, be), source.FS(src), nil).Snapshot
	lost := newBackendLike(t, be)
	var reported []string
	res := run(t, open(t, lost), source.FS(src), &backup.Options{Parent: parent, Observer: &backup.Observer{Error: func(path string, err error) {
		reported = append(reported, path)
	}}})
	if res.Incomplete == 0 || !strings.Contains(strings.Join(reported, " "), "/") {
		t.Errorf("nothing was reported: %+v, %v", res, reported)
	}
	if err := whole(t, lost, res.Snapshot.ID, src); err != nil {
		t.Error(err)
	}
}

// newBackendLike returns a copy of a repository that has lost all packs and
// indexes.
func newBackendLike(t testing.TB, be *mem.Backend) *mem.Backend {
	t.Helper()
	clone := be.Clone()
	for _, typ := range []backend.FileType{backend.PackFile, backend.IndexFile} {
		for fi, err := range be.List(t.Context(), typ) {
			if err == nil {
				err = clone.Remove(t.Context(), backend.Handle{Type: typ, Name: fi.Name})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return clone
}

// brokenFS fails for some files.
type brokenFS struct{ fstest.MapFS }

func (b brokenFS) Open(name string) (fs.File, error) {
	switch filepath.Base(name) {
	case "unreadable":
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	case "vanished":
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := b.MapFS.Open(name)
	if filepath.Base(name) == "halfway" && err == nil {
		return &failingFile{f}, nil
	}
	return f, err
}

type failingFile struct{ fs.File }

func (f *failingFile) Read([]byte) (int, error) { return 0, errors.New("disk broken") }

func TestItemsThatCannotBeReadAreReportedAndLeftOut(t *testing.T) {
	be := newBackend(t)
	good := fstest.MapFS{"d/good": {Data: []byte("1")}, "z": {Data: []byte("2")}}
	all := fstest.MapFS{"d/unreadable": {Data: []byte("x")}, "d/vanished": {Data: []byte("x")}, "halfway": {Data: []byte("x")}}
	for name, f := range good {
		all[name] = f
	}
	reported := make(map[string]error)
	var mu sync.Mutex
	res := run(t, open(t, be), source.FS(brokenFS{all}), &backup.Options{Observer: &backup.Observer{Error: func(path string, err error) {
		mu.Lock()
		defer mu.Unlock()
		reported[path] = err
	}}})
	if len(reported) != 2 || reported["/d/unreadable"] == nil || reported["/halfway"] == nil || res.Incomplete != 2 {
		t.Errorf("reported %v", reported)
	}
	if err := whole(t, be, res.Snapshot.ID, good); err != nil {
		t.Error(err)
	}
}

func TestNothingIsNoSnapshot(t *testing.T) {
	be := newBackend(t)
	if _, err := backup.Run(t.Context(), open(t, be), source.FS(fstest.MapFS{}), nil); !errors.Is(err, backup.ErrEmptySnapshot) {
		t.Errorf("err = %v", err)
	}
	broken := source.FS(brokenFS{fstest.MapFS{"unreadable": {Data: []byte("x")}}})
	if _, err := backup.Run(t.Context(), open(t, be), broken, nil); !errors.Is(err, backup.ErrEmptySnapshot) {
		t.Errorf("err = %v", err)
	}
}

func TestAStreamThatFailsIsNoSnapshot(t *testing.T) {
	be := newBackend(t)
	src, err := source.Stream("/a/b", &failingReader{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Run(t.Context(), open(t, be), src, nil); err == nil || !strings.Contains(err.Error(), "broken pipe line") {
		t.Errorf("err = %v", err)
	}
	for sn := range open(t, be).AllSnapshots(t.Context()) {
		t.Errorf("snapshot %v was saved", sn.ID)
	}
}

type failingReader struct{ done bool }

func (r *failingReader) Read(p []byte) (int, error) {
	if r.done {
		return 0, errors.New("broken pipe line")
	}
	r.done = true
	return copy(p, "some"), nil
}

// TestHugeFoldersAreKeptInFiles makes the tree of one folder larger than what
// is kept in memory.
func TestHugeFoldersAreKeptInFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	be := newBackend(t)
	src := manyFiles(repo.LargeBlob/250 + 1000)
	res := run(t, open(t, be), src, nil)
	r := open(t, be)
	n, last := 0, ""
	nodes, err := r.LoadTree(t.Context(), *res.Snapshot.Tree)
	if err != nil {
		t.Fatal(err)
	}
	defer nodes.Close()
	for {
		var node tree.Node
		if err := nodes.Next(&node); err != nil {
			break
		}
		if node.Name <= last {
			t.Fatalf("%q follows %q", node.Name, last)
		}
		last = node.Name
		n++
	}
	if n != int(src) {
		t.Errorf("%d of %d entries", n, src)
	}
	size, _ := r.Index().PlaintextLength(treeHandle(*res.Snapshot.Tree))
	if size < repo.LargeBlob {
		t.Fatalf("the tree of %d bytes tests nothing", size)
	}
	again := run(t, open(t, be), src, &backup.Options{Parent: res.Snapshot})
	if *again.Snapshot.Tree != *res.Snapshot.Tree || again.Snapshot.Summary.TreeBlobs != 0 || again.Snapshot.Summary.FilesUnmodified != uint(src) {
		t.Errorf("again: %+v", again.Snapshot.Summary)
	}
	rep, err := check.Run(t.Context(), open(t, be), &check.Options{SelectPacks: check.AllPacks})
	if err != nil || rep.Errors > 0 {
		t.Errorf("check: %v, %+v", err, rep)
	}
}

func ExampleRun() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	src := source.FS(fstest.MapFS{"note": {Data: []byte("hello")}}, "/notes")
	res, err := backup.Run(ctx, r, src, &backup.Options{Snapshot: snapshot.Snapshot{Hostname: "alpha"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Snapshot.Summary.FilesNew, "new file,", res.Incomplete, "problems")
	// Output: 1 new file, 0 problems
}
