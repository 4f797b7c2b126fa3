package restore_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/local"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/restore"
	"github.com/garner-backup/garner/repo/tree"
)

// openRepo makes and opens a repository.
func openRepo(t testing.TB) *repo.Repo {
	t.Helper()
	dir := t.TempDir()
	repotest.Init(t, dir, "secret", 2)
	be, err := local.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// when is the modification time of all nodes.
var when = time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)

// node is a short form of tree.Node: content for files, entries for folders.
type node struct {
	tree.Node
	content string
	entries []node
}

func file(name, content string) node {
	return node{Node: tree.Node{Name: name, Type: tree.TypeFile, Mode: 0o640, Links: 1}, content: content}
}

func folder(name string, entries ...node) node {
	return node{Node: tree.Node{Name: name, Type: tree.TypeDir, Mode: fs.ModeDir | 0o755}, entries: entries}
}

func symlink(name, target string) node {
	return node{Node: tree.Node{Name: name, Type: tree.TypeSymlink, Mode: fs.ModeSymlink | 0o777, LinkTarget: target}}
}

// save stores a tree as it is, however wrong.
func save(t testing.TB, r *repo.Repo, entries ...node) crypto.ID {
	t.Helper()
	var id crypto.ID
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) (err error) {
		id, err = saveTree(ctx, w, entries)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func saveTree(ctx context.Context, w *repo.Writer, entries []node) (crypto.ID, error) {
	b := []byte(tree.Header)
	for i, e := range entries {
		n := e.Node
		n.ModTime, n.AccessTime, n.ChangeTime = when, when, when
		if n.UID == 0 && n.GID == 0 {
			n.UID, n.GID = uint32(os.Getuid()), uint32(os.Getgid())
		}
		switch {
		case n.Content != nil || !n.Subtree.IsZero(): // as the test wants it
		case n.Type == tree.TypeFile:
			n.Size, n.Content = uint64(len(e.content)), []crypto.ID{}
			for piece := range slices.Chunk([]byte(e.content), 1000) {
				saved, err := w.SaveBlob(ctx, index.DataBlob, piece)
				if err != nil {
					return crypto.ID{}, err
				}
				n.Content = append(n.Content, saved.ID)
			}
		case n.Type == tree.TypeDir:
			var err error
			if n.Subtree, err = saveTree(ctx, w, e.entries); err != nil {
				return crypto.ID{}, err
			}
		}
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = tree.AppendNode(b, &n); err != nil {
			return crypto.ID{}, err
		}
	}
	saved, err := w.SaveBlob(ctx, index.TreeBlob, append(b, tree.Trailer...))
	return saved.ID, err
}

// outcome is what a restore reported.
type outcome struct {
	*restore.Result
	errors  map[string]error
	actions map[string]restore.Action
}

func run(t testing.TB, r *repo.Repo, root crypto.ID, target string, opts restore.Options) outcome {
	t.Helper()
	o := outcome{errors: map[string]error{}, actions: map[string]restore.Action{}}
	var mu sync.Mutex
	opts.Observer = &restore.Observer{
		Error: func(path string, err error) {
			mu.Lock()
			defer mu.Unlock()
			o.errors[path] = err
		},
		Item: func(path string, a restore.Action, _ int64) {
			mu.Lock()
			defer mu.Unlock()
			o.actions[path] = a
		},
	}
	var err error
	if o.Result, err = restore.Run(t.Context(), r, root, target, &opts); err != nil {
		t.Fatal(err)
	}
	if int(o.Errors) < len(o.errors) {
		t.Errorf("%d errors counted, %d reported", o.Errors, len(o.errors))
	}
	return o
}

func (o outcome) clean(t testing.TB) outcome {
	t.Helper()
	for path, err := range o.errors {
		t.Errorf("%s: %v", path, err)
	}
	return o
}

func read(t testing.TB, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t testing.TB, content string, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(parts ...string) bool {
	_, err := os.Lstat(filepath.Join(parts...))
	return err == nil
}

func TestRestoreSetsContentAndMetadata(t *testing.T) {
	r := openRepo(t)
	big := strings.Repeat("0123456789", 12_345)
	root := save(t, r, folder("d", file("big", big), file("empty", "")), symlink("l", "d/big"))
	target := filepath.Join(t.TempDir(), "new", "target")
	o := run(t, r, root, target, restore.Options{Verify: true}).clean(t)
	if o.FilesRestored != 4 || o.BytesRestored != int64(len(big)) || o.Verified != 2 {
		t.Errorf("%+v", o.Result)
	}
	if read(t, target, "d", "big") != big || read(t, target, "d", "empty") != "" {
		t.Error("wrong content")
	}
	for _, name := range []string{"d", "d/big", "d/empty", "l"} {
		info, err := os.Lstat(filepath.Join(target, name))
		if err != nil || !info.ModTime().Equal(when) {
			t.Errorf("%s: %v, %v", name, info.ModTime(), err)
		}
	}
	if info, _ := os.Stat(filepath.Join(target, "d", "big")); info.Mode() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
}

// TestNothingIsWrittenOutsideTheTarget restores trees whose names try to get
// out, and into targets with symbolic links on the way.
func TestNothingIsWrittenOutsideTheTarget(t *testing.T) {
	r := openRepo(t)
	for _, name := range []string{"..", ".", "", "../evil", "/evil", "a/../../evil", "a/evil", "nul\x00evil"} {
		root := save(t, r, file(name, "evil content"), folder(name, file("evil", "evil content")), symlink(name, "/"), file("zgood", "good"))
		outer := t.TempDir()
		target := filepath.Join(outer, "target")
		o := run(t, r, root, target, restore.Options{Delete: true})
		if len(o.errors) == 0 {
			t.Errorf("%q: nothing was reported", name)
		}
		if read(t, target, "zgood") != "good" {
			t.Errorf("%q: the other files were not restored", name)
		}
		entries, _ := os.ReadDir(outer)
		inside, _ := os.ReadDir(target)
		if len(entries) != 1 || len(inside) != 1 {
			t.Errorf("%q: %v outside, %v inside", name, entries, inside)
		}
	}
	if exists("/evil") {
		t.Error("/evil was written")
	}
}

func TestLinksInTheTargetAreReplacedNotFollowed(t *testing.T) {
	r := openRepo(t)
	root := save(t, r, folder("d", file("f", "new")), file("f", "new"), file("g", "new"))
	outer := t.TempDir()
	target := filepath.Join(outer, "target")
	write(t, "precious", outer, "outside", "f")
	for link, to := range map[string]string{"d": "../outside", "f": "../outside/f", "g": "../outside/nothing"} {
		if err := os.MkdirAll(target, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(target, link)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, r, root, target, restore.Options{}).clean(t)
	if read(t, outer, "outside", "f") != "precious" || exists(outer, "outside", "nothing") {
		t.Error("a link was followed")
	}
	if read(t, target, "d", "f") != "new" || read(t, target, "f") != "new" || read(t, target, "g") != "new" {
		t.Error("wrong content")
	}
}

// A tree may have a link and a folder of the same name, so that the folder's
// files would go where the link points.
func TestALinkOfTheSameTreeIsNotFollowed(t *testing.T) {
	r := openRepo(t)
	outer := t.TempDir()
	write(t, "precious", outer, "outside", "f")
	for _, entries := range [][]node{
		{symlink("x", filepath.Join(outer, "outside")), folder("x", file("f", "evil"))},
		{folder("x", file("f", "evil")), symlink("x", filepath.Join(outer, "outside"))},
		{symlink("x", filepath.Join(outer, "outside", "f")), file("x", "evil")},
	} {
		run(t, r, save(t, r, entries...), filepath.Join(outer, "target"), restore.Options{})
		if read(t, outer, "outside", "f") != "precious" {
			t.Fatal("the link was followed")
		}
		os.RemoveAll(filepath.Join(outer, "target"))
	}
}

// TestARacingLinkIsNotFollowed swaps a folder for a link again and again
// while files are restored into it.
func TestARacingLinkIsNotFollowed(t *testing.T) {
	r := openRepo(t)
	var files []node
	for i := range 200 {
		files = append(files, file(string(rune('a'+i/26))+string(rune('a'+i%26)), "evil"))
	}
	root := save(t, r, folder("d", files...))
	outer := t.TempDir()
	target, outside := filepath.Join(outer, "target"), filepath.Join(outer, "outside")
	for _, dir := range []string{target, outside} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		d, away := filepath.Join(target, "d"), filepath.Join(outer, "away")
		for {
			select {
			case <-stop:
				return
			default:
			}
			if os.Rename(d, away) == nil {
				_ = os.Symlink(outside, d)
				_ = os.Remove(d)
				_ = os.Rename(away, d)
			}
		}
	})
	for range 10 {
		_, err := restore.Run(t.Context(), r, root, target, &restore.Options{})
		if err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Fatalf("%d files were written through the link", len(entries))
	}
}

func TestOverwriteModes(t *testing.T) {
	older, newer := when.Add(-time.Hour), when.Add(time.Hour)
	for _, tc := range []struct {
		mode     restore.Overwrite
		existing string
		mtime    time.Time
		want     string
		action   restore.Action
	}{
		{restore.OverwriteAlways, "OLD", newer, "new", restore.Updated},
		{restore.OverwriteAlways, "new", newer, "new", restore.Unchanged},
		{restore.OverwriteAlways, "longer than it was", older, "new", restore.Updated},
		{restore.OverwriteIfChanged, "OLD", when, "OLD", restore.Unchanged}, // same size and time: trusted
		{restore.OverwriteIfChanged, "OLD", older, "new", restore.Updated},
		{restore.OverwriteIfNewer, "OLD", newer, "OLD", restore.Unchanged},
		{restore.OverwriteIfNewer, "OLD", older, "new", restore.Updated},
		{restore.OverwriteNever, "OLD", older, "OLD", restore.Unchanged},
	} {
		for _, dry := range []bool{false, true} {
			r := openRepo(t)
			root := save(t, r, file("f", "new"), file("other", "x"))
			target := t.TempDir()
			write(t, tc.existing, target, "f")
			if err := os.Chtimes(filepath.Join(target, "f"), tc.mtime, tc.mtime); err != nil {
				t.Fatal(err)
			}
			o := run(t, r, root, target, restore.Options{Overwrite: tc.mode, DryRun: dry}).clean(t)
			want := tc.want
			if dry {
				want = tc.existing
			}
			if got := read(t, target, "f"); got != want || o.actions["/f"] != tc.action {
				t.Errorf("%v over %q, dry %v: %q, %v", tc.mode, tc.existing, dry, got, o.actions["/f"])
			}
			if exists(target, "other") == dry || o.actions["/other"] != restore.Restored {
				t.Errorf("%v, dry %v: the new file: %v", tc.mode, dry, o.actions["/other"])
			}
		}
	}
}

func TestOnlyDifferingPartsAreRewritten(t *testing.T) {
	r := openRepo(t)
	content := []byte(strings.Repeat("a", 1000) + strings.Repeat("b", 1000) + strings.Repeat("c", 500))
	root := save(t, r, file("f", string(content)))
	target := t.TempDir()
	changed := bytes.Clone(content)
	changed[1500] = 'X'
	write(t, string(changed), target, "f")
	before, err := os.Stat(filepath.Join(target, "f"))
	if err != nil {
		t.Fatal(err)
	}
	o := run(t, r, root, target, restore.Options{Verify: true}).clean(t)
	after, err := os.Stat(filepath.Join(target, "f"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was made anew: %v", err)
	}
	if read(t, target, "f") != string(content) || o.BytesRestored != 1000 || o.BytesSkipped != 1500 {
		t.Errorf("%d bytes written, %d skipped", o.BytesRestored, o.BytesSkipped)
	}
}

func TestHardLinksOfTheTargetAreNotWrittenThrough(t *testing.T) {
	r := openRepo(t)
	root := save(t, r, file("f", "new"))
	target := t.TempDir()
	write(t, "precious", target, "elsewhere")
	if err := os.Link(filepath.Join(target, "elsewhere"), filepath.Join(target, "f")); err != nil {
		t.Fatal(err)
	}
	run(t, r, root, target, restore.Options{}).clean(t)
	if read(t, target, "elsewhere") != "precious" || read(t, target, "f") != "new" {
		t.Error("the other name has changed")
	}
}

func TestDeleteRemovesWhatTheSnapshotLacks(t *testing.T) {
	r := openRepo(t)
	root := save(t, r, folder("d", file("keep", "1")), folder("e"), file("top", "2"))
	target := t.TempDir()
	for _, path := range []string{"d/extra", "d/sub/deep", "e/extra", "extra", "d/spare"} {
		write(t, "x", target, path)
	}
	spare := func(path string, _ bool) (bool, bool) { return path != "/d/spare", true }
	o := run(t, r, root, target, restore.Options{Delete: true, DryRun: true, Select: spare}).clean(t)
	if o.FilesDeleted != 4 || !exists(target, "d/extra") {
		t.Errorf("dry run: %d deleted", o.FilesDeleted)
	}
	o = run(t, r, root, target, restore.Options{Delete: true, Select: spare}).clean(t)
	if o.FilesDeleted != 4 || exists(target, "d/extra") || exists(target, "d/sub") || exists(target, "e/extra") || exists(target, "extra") {
		t.Errorf("%d deleted", o.FilesDeleted)
	}
	if !exists(target, "d/spare") || read(t, target, "d/keep") != "1" {
		t.Error("too much was deleted")
	}
}

func TestDeleteSparesFoldersThatCannotBeRead(t *testing.T) {
	r := openRepo(t)
	bad := folder("d")
	bad.Subtree = crypto.RandomID()
	root := save(t, r, bad)
	target := t.TempDir()
	write(t, "precious", target, "d", "f")
	o := run(t, r, root, target, restore.Options{Delete: true})
	if read(t, target, "d", "f") != "precious" || o.errors["/d"] == nil {
		t.Errorf("errors: %v", o.errors)
	}
}

func TestSelectRestoresParentsOfWhatIsSelected(t *testing.T) {
	r := openRepo(t)
	root := save(t, r, folder("a", folder("b", file("yes", "1"), file("no", "2"))), folder("c", file("no", "3")))
	target := t.TempDir()
	o := run(t, r, root, target, restore.Options{Select: func(path string, _ bool) (bool, bool) {
		return path == "/a/b/yes", strings.HasPrefix("/a/b/yes", path)
	}}).clean(t)
	if read(t, target, "a/b/yes") != "1" || exists(target, "a/b/no") || exists(target, "c") || o.FilesRestored != 1 {
		t.Errorf("%+v", o.Result)
	}
	if info, err := os.Stat(filepath.Join(target, "a", "b")); err != nil || !info.ModTime().Equal(when) || info.Mode().Perm() != 0o755 {
		t.Errorf("the folder above has no metadata: %v %v", info, err)
	}
}

func TestMissingBlobsCostOnlyTheirFiles(t *testing.T) {
	r := openRepo(t)
	lost := file("lost", "")
	lost.Content = []crypto.ID{crypto.RandomID()}
	root := save(t, r, lost, file("whole", "y"))
	target := t.TempDir()
	o := run(t, r, root, target, restore.Options{})
	if !errors.As(o.errors["/lost"], new(*repo.MissingBlobError)) || len(o.errors) != 1 {
		t.Errorf("errors: %v", o.errors)
	}
	if read(t, target, "whole") != "y" || exists(target, "lost") {
		t.Error("the other file is not whole, or the lost one is there")
	}
}

// TestAFileAppears puts something in the place of files that are about to be
// made, after their folder was made and before they are.
func TestAFileAppears(t *testing.T) {
	long := strings.Repeat("new", 1000)
	for _, tc := range []struct {
		mode   restore.Overwrite
		put    func(path string) error
		want   string // of the file when the restore is done; empty: the snapshot's
		action restore.Action
	}{
		{restore.OverwriteAlways, func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o600) }, "", restore.Updated},
		{restore.OverwriteNever, func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o600) }, "theirs", restore.Unchanged},
		{restore.OverwriteIfNewer, func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o600) }, "theirs", restore.Unchanged},
		{restore.OverwriteAlways, func(path string) error { return os.Symlink("../../precious", path) }, "", restore.Restored},
		{restore.OverwriteAlways, func(path string) error { return os.Link(filepath.Dir(path)+"/../../precious", path) }, "", restore.Restored},
	} {
		for _, content := range []string{"new", long} {
			r := openRepo(t)
			root := save(t, r, folder("d", file("a", ""), file("b", content), file("c", content)))
			outer := t.TempDir()
			target := filepath.Join(outer, "target")
			write(t, "precious", outer, "precious")
			var action restore.Action
			res, err := restore.Run(t.Context(), r, root, target, &restore.Options{Overwrite: tc.mode, Observer: &restore.Observer{
				Item: func(path string, a restore.Action, _ int64) {
					switch path {
					case "/d/a": // which is empty, and made before blobs are loaded
						if err := tc.put(filepath.Join(target, "d", "b")); err != nil {
							t.Error(err)
						}
					case "/d/b":
						action = a
					}
				},
				Error: func(path string, err error) { t.Errorf("%s: %v", path, err) },
			}})
			if err != nil {
				t.Fatal(err)
			}
			want := tc.want
			if want == "" {
				want = content
			}
			if read(t, target, "d", "b") != want || read(t, target, "d", "c") != content || action != tc.action {
				t.Errorf("%v: %q, %v", tc.mode, read(t, target, "d", "b"), action)
			}
			if read(t, outer, "precious") != "precious" {
				t.Error("something outside has changed")
			}
			if tc.action == restore.Unchanged && (res.FilesSkipped != 1 || res.BytesSkipped != int64(len(content))) {
				t.Errorf("%+v", res)
			}
		}
	}
}

// Two files of one name don't mix: at most one is restored, and it is told.
func TestFilesOfOneNameAreReported(t *testing.T) {
	for _, size := range []int{0, 10, 3000} {
		r := openRepo(t)
		first, second := strings.Repeat("1", size), strings.Repeat("2", size)
		root := save(t, r, folder("d", file("x", first), file("x", second)))
		target := t.TempDir()
		o := run(t, r, root, target, restore.Options{})
		if got := read(t, target, "d", "x"); o.Errors != 1 || got != first && got != second {
			t.Errorf("%d errors, %q", o.Errors, got)
		}
	}
}

// Long runs of zeros need not be written where the space is reserved.
func TestZerosAreRestored(t *testing.T) {
	r := openRepo(t)
	content := strings.Repeat("\x00", 50_000) + "x" + strings.Repeat("\x00", 70_000)
	root := save(t, r, folder("d", file("f", content)), file("g", content))
	target := t.TempDir()
	write(t, strings.Repeat("old", 30_000), target, "g")
	run(t, r, root, target, restore.Options{Verify: true}).clean(t)
	if read(t, target, "d", "f") != content || read(t, target, "g") != content {
		t.Error("wrong content")
	}
}
