package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/foldercache"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

// counted counts how often a source's entries are looked at in full.
type counted struct {
	source.Source
	mu       sync.Mutex
	finished map[string]int
}

// folderOf counts in folders that can be surveyed. Those on the way to the
// target can't.
func (c *counted) folderOf(d source.Folder) source.Folder {
	if s, ok := d.(source.Surveyor); ok {
		return &countedFolder{d, s, c}
	}
	return &passedFolder{d, c}
}

type passedFolder struct {
	source.Folder
	c *counted
}

func (d *passedFolder) OpenFolder(name string) (source.Folder, error) {
	sub, err := d.Folder.OpenFolder(name)
	if err != nil {
		return nil, err
	}
	return d.c.folderOf(sub), nil
}

// countingSource is the Source that counts.
type countingSource struct{ *counted }

func (c countingSource) Root(ctx context.Context) (source.Folder, error) {
	root, err := c.Source.Root(ctx)
	if err != nil {
		return nil, err
	}
	return c.folderOf(root), nil
}

type countedFolder struct {
	source.Folder
	source.Surveyor
	c *counted
}

func (d *countedFolder) OpenFolder(name string) (source.Folder, error) {
	sub, err := d.Folder.OpenFolder(name)
	if err != nil {
		return nil, err
	}
	return d.c.folderOf(sub), nil
}

func (d *countedFolder) Finish(name string, n *tree.Node) error {
	d.c.mu.Lock()
	d.c.finished[name]++
	d.c.mu.Unlock()
	return d.Folder.Finish(name, n)
}

// change does something to a random item below dir that a backup must notice.
func change(t *testing.T, r *rand.Rand, dir string) string {
	t.Helper()
	var files, dirs, links []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			dirs = append(dirs, path)
		case d.Type().IsRegular():
			files = append(files, path)
		case d.Type()&fs.ModeSymlink != 0:
			links = append(links, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("n%d", r.Uint32())
	switch kind := r.IntN(11); kind {
	case 0: // same size, same time of modification
		f := pick(files)
		info, err := os.Stat(f)
		must(err)
		must(os.WriteFile(f, []byte(strings.Repeat(string(rune('a'+r.IntN(26))), int(info.Size()))), 0o600))
		must(os.Chtimes(f, time.Time{}, info.ModTime()))
		return "content of " + f
	case 1:
		f := pick(files)
		must(os.Chmod(f, fs.FileMode(0o400+r.IntN(0o377))))
		return "mode of " + f
	case 2:
		f := pick(append(files, dirs...))
		must(ignoreUnsupported(unix.Setxattr(f, "user.mark", []byte(name), 0)))
		return "attribute of " + f
	case 3:
		d := pick(dirs)
		must(os.WriteFile(filepath.Join(d, name), []byte(name), 0o600))
		return "new file in " + d
	case 4:
		d := pick(dirs)
		must(os.Mkdir(filepath.Join(d, name), 0o700))
		return "new folder in " + d
	case 5:
		f := pick(files)
		must(os.Rename(f, filepath.Join(filepath.Dir(f), name)))
		return "name of " + f
	case 6:
		if len(files) > 20 {
			f := pick(files)
			must(os.Remove(f))
			return "removed " + f
		}
	case 7:
		if len(links) > 0 {
			l := pick(links)
			must(os.Remove(l))
			must(os.Symlink(name, l))
			return "target of " + l
		}
	case 8:
		must(os.Symlink(name, filepath.Join(pick(dirs), "l"+name)))
	case 9:
		f := pick(files)
		must(os.Lchown(f, r.IntN(3), r.IntN(3)))
		return "owner of " + f
	case 10:
		f := pick(files)
		must(os.Link(f, filepath.Join(filepath.Dir(f), name)))
		return "another name of " + f
	}
	return "nothing"
}

func ignoreUnsupported(err error) error {
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

func makeFolders(t *testing.T, dir string) {
	t.Helper()
	for d := range 12 {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", d%4), fmt.Sprintf("e%d", d))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		for f := range 5 {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%d", f)), []byte(fmt.Sprint(d, f)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	wide := filepath.Join(dir, "wide") // more than one piece of a survey
	if err := os.Mkdir(wide, 0o755); err != nil {
		t.Fatal(err)
	}
	for f := range 1200 {
		if err := os.WriteFile(filepath.Join(wide, fmt.Sprintf("f%d", f)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// entriesOf is a source of what is in a folder. That of the folder itself would
// have those above it too, which other tests change.
func entriesOf(t *testing.T, dir string) source.Source {
	t.Helper()
	t.Chdir(dir)
	src, err := source.Dir([]string{"."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// settleTimes lets a change be told by times from what came before: they are
// as coarse as the kernel's clock tick.
func settleTimes() { time.Sleep(30 * time.Millisecond) }

// TestRememberedFoldersGiveTheSameTrees changes a folder at random, and
// compares what a backup that remembers makes of it with one that does not.
func TestRememberedFoldersGiveTheSameTrees(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("changes owners, which takes root")
	}
	dir := t.TempDir()
	makeFolders(t, dir)
	be := newBackend(t)
	r := open(t, be)
	cache := filepath.Join(t.TempDir(), "folders")
	rnd := rand.New(rand.NewPCG(1, 2))
	var parent *snapshot.Snapshot
	for round := range 40 {
		what := "first"
		if round > 0 {
			settleTimes()
			what = change(t, rnd, dir)
			settleTimes()
		}
		src := entriesOf(t, dir)
		folders := foldercache.Open(cache, "", r)
		got := run(t, r, src, &backup.Options{Parent: parent, Folders: folders})
		if err := folders.Save(); err != nil {
			t.Fatal(err)
		}
		want := run(t, r, src, &backup.Options{Parent: parent, DryRun: true})
		if *got.Snapshot.Tree != *want.Snapshot.Tree {
			t.Fatalf("round %d, %s: other tree than without what was remembered", round, what)
		}
		g, w := *got.Snapshot.Summary, *want.Snapshot.Summary
		if g.FilesNew != w.FilesNew || g.FilesChanged != w.FilesChanged || g.FilesUnmodified != w.FilesUnmodified ||
			g.DirsNew != w.DirsNew || g.DirsChanged != w.DirsChanged || g.DirsUnmodified != w.DirsUnmodified ||
			g.TotalBytesProcessed != w.TotalBytesProcessed {
			t.Fatalf("round %d, %s: counted %+v, want %+v", round, what, g, w)
		}
		parent = got.Snapshot
	}
}

// rememberedRepo makes a backup that remembers folders.
func rememberedRepo(t *testing.T) (be backend.Backend, r *repo.Repo, src *counted, cache string, parent *snapshot.Snapshot) {
	t.Helper()
	dir := t.TempDir()
	makeFolders(t, dir)
	be = newBackend(t)
	r = open(t, be)
	cache = filepath.Join(t.TempDir(), "folders")
	plain := entriesOf(t, dir)
	src = &counted{Source: plain, finished: make(map[string]int)}
	settleTimes()
	folders := foldercache.Open(cache, "", r)
	res := run(t, r, plain, &backup.Options{Folders: folders})
	if err := folders.Save(); err != nil {
		t.Fatal(err)
	}
	return be, r, src, cache, res.Snapshot
}

// again makes a backup and returns the items that were looked at in full.
func again(t *testing.T, r *repo.Repo, src *counted, opts *backup.Options) (*backup.Result, []string) {
	t.Helper()
	clear(src.finished)
	res := run(t, r, countingSource{src}, opts)
	var names []string
	for name := range src.finished {
		names = append(names, name)
	}
	slices.Sort(names)
	return res, names
}

func TestUnchangedFoldersAreNotLookedAtInFull(t *testing.T) {
	_, r, src, cache, parent := rememberedRepo(t)
	var items atomic.Int64
	res, looked := again(t, r, src, &backup.Options{Parent: parent, Folders: foldercache.Open(cache, "", r),
		Observer: &backup.Observer{Item: func(i backup.Item) {
			if i.Action != backup.Unmodified {
				t.Errorf("%+v", i)
			}
			items.Add(1)
		}}})
	if len(looked) > 0 || *res.Snapshot.Tree != *parent.Tree {
		t.Errorf("looked at %v", looked)
	}
	sum := res.Snapshot.Summary
	if want := int(sum.FilesUnmodified + sum.DirsUnmodified); items.Load() != int64(want) || sum.FilesUnmodified != 1260 {
		t.Errorf("told of %d items of %d; %+v", items.Load(), want, sum)
	}
	_, looked = again(t, r, src, &backup.Options{Parent: parent, Folders: foldercache.Open(cache, "", r), IgnoreCtime: true})
	if len(looked) == 0 {
		t.Error("change times are trusted though they are to be ignored")
	}
	_, looked = again(t, r, src, &backup.Options{Folders: foldercache.Open(cache, "", r)})
	if len(looked) == 0 {
		t.Error("folders are trusted without a parent snapshot")
	}
}

// TestWhatTheRepositoryLacksIsSavedAgain drops a blob of an unchanged file, and
// then a tree, from the index.
func TestWhatTheRepositoryLacksIsSavedAgain(t *testing.T) {
	for _, kind := range []index.BlobType{index.DataBlob, index.TreeBlob} {
		be, r, src, cache, parent := rememberedRepo(t)
		var lost index.Location
		for l := range r.Index().All() {
			if l.Type == kind {
				lost = l
				break
			}
		}
		without(t, be, r, lost.BlobHandle)
		r = open(t, be)
		if r.HasBlob(lost.BlobHandle) {
			t.Fatal("the blob is still there")
		}
		res, _ := again(t, r, src, &backup.Options{Parent: parent, Folders: foldercache.Open(cache, "", r)})
		if *res.Snapshot.Tree != *parent.Tree || !r.HasBlob(lost.BlobHandle) {
			t.Errorf("%v: tree is the same: %v, blob is there: %v", kind, *res.Snapshot.Tree == *parent.Tree, r.HasBlob(lost.BlobHandle))
		}
	}
}

// without removes a blob from the index files.
func without(t *testing.T, be backend.Backend, r *repo.Repo, gone index.BlobHandle) {
	t.Helper()
	packs := make(map[crypto.ID][]index.Blob)
	for l := range r.Index().All() {
		if l.BlobHandle != gone {
			packs[l.Pack] = append(packs[l.Pack], l.Blob)
		}
	}
	files := r.Index().Files()
	c := index.NewCollector(time.Now)
	for id, blobs := range packs {
		c.Add(id, blobs)
	}
	for json := c.Take(true); json != nil; json = c.Take(true) {
		if _, err := r.SaveUnpacked(t.Context(), backend.IndexFile, json); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range files {
		if err := be.Remove(t.Context(), backend.Handle{Type: backend.IndexFile, Name: id.String()}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatChangedJustNowIsNotRemembered changes a file twice within a tick.
func TestWhatChangedJustNowIsNotRemembered(t *testing.T) {
	dir := t.TempDir()
	makeFolders(t, dir)
	r := open(t, newBackend(t))
	cache := filepath.Join(t.TempDir(), "folders")
	src := entriesOf(t, dir)
	settleTimes()
	if err := os.Chmod(filepath.Join(dir, "d0", "e0", "f0"), 0o600); err != nil {
		t.Fatal(err)
	}
	folders := foldercache.Open(cache, "", r)
	res := run(t, r, src, &backup.Options{Folders: folders})
	if err := folders.Save(); err != nil {
		t.Fatal(err)
	}
	counted := &counted{Source: src, finished: make(map[string]int)}
	_, looked := again(t, r, counted, &backup.Options{Parent: res.Snapshot, Folders: foldercache.Open(cache, "", r)})
	if !slices.Contains(looked, "f0") {
		t.Errorf("looked at %v", looked)
	}
}
