package diff_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/backup"
	"github.com/garner-backup/garner/repo/diff"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

func ExampleRun() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var trees []crypto.ID
	for _, files := range []fstest.MapFS{
		{"kept": {Data: []byte("1")}, "changed": {Data: []byte("2")}, "old/file": {Data: []byte("3")}},
		{"kept": {Data: []byte("1")}, "changed": {Data: []byte("two")}},
	} {
		res, err := backup.Run(ctx, r, source.FS(files), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		trees = append(trees, *res.Snapshot.Tree)
	}
	totals, err := diff.Run(ctx, r, trees[0], trees[1], &diff.Options{
		Change: func(c diff.Change) error {
			_, err := fmt.Println(c.Modifier, c.Path)
			return err
		},
	})
	fmt.Println(totals.Removed.Files, "removed,", totals.ChangedFiles, "changed", err)
	// Output:
	// M /changed
	// - /old/
	// - /old/file
	// 1 removed, 1 changed <nil>
}

func compare(t *testing.T, r *repo.Repo, a, b crypto.ID, opts diff.Options) (changes []string, totals diff.Totals) {
	t.Helper()
	opts.Change = func(c diff.Change) error {
		changes = append(changes, c.Modifier+" "+c.Path)
		return nil
	}
	got, err := diff.Run(t.Context(), r, a, b, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return changes, *got
}

func TestModifiersSayWhatChanged(t *testing.T) {
	r := repotest.Open(t, mem.New())
	var a, b crypto.ID
	repotest.Build(t, r, func(s *repotest.Builder) {
		one, two := s.Data("one"), s.Data("two")
		shared := s.Tree(repotest.File("in", 3, two))
		later := repotest.File("m", 3, one)
		later.ModTime = time.Unix(1, 0)
		changed := repotest.File("c", 3, two)
		changed.ModTime = time.Unix(1, 0)
		a = s.Tree(repotest.File("c", 3, one), repotest.File("damaged", 3, one), repotest.File("m", 3, one),
			repotest.Folder("same", shared), repotest.File("type", 3, one), repotest.File("unused", 3, two))
		b = s.Tree(changed, repotest.File("damaged", 3, two), later,
			repotest.Folder("same", shared), tree.Node{Name: "type", Type: tree.TypeFifo}, repotest.Folder("z", shared))
	})
	changes, totals := compare(t, r, a, b, diff.Options{Metadata: true})
	want := []string{"M /c", "M? /damaged", "U /m", "TU /type", "- /unused", "+ /z/", "+ /z/in"}
	if !slices.Equal(changes, want) {
		t.Errorf("changes %q\nwant    %q", changes, want)
	}
	if totals.ChangedFiles != 2 || totals.Added.Files != 1 || totals.Added.Dirs != 1 || totals.Removed.Files != 1 {
		t.Errorf("%+v", totals)
	}
	// Both contents are in both trees; what is shared is nobody's.
	if totals.Added.DataBlobs != 0 || totals.Removed.DataBlobs != 0 || totals.Added.TreeBlobs != 1 || totals.Removed.TreeBlobs != 1 {
		t.Errorf("blobs: %+v", totals)
	}
	if changes, totals := compare(t, r, a, a, diff.Options{}); len(changes) > 0 || totals != (diff.Totals{}) {
		t.Errorf("a tree differs from itself: %q, %+v", changes, totals)
	}
}

func TestWhatCannotBeReadIsLeftOutOrEndsTheComparison(t *testing.T) {
	r := repotest.Open(t, mem.New())
	missing := crypto.Hash([]byte("missing"))
	var a, b crypto.ID
	repotest.Build(t, r, func(s *repotest.Builder) {
		empty := s.Tree()
		a = s.Tree(repotest.Folder("a", missing), repotest.Folder("b", empty), repotest.File("c", 1), repotest.Folder("s", missing))
		b = s.Tree(repotest.Folder("a", empty), repotest.Folder("n", missing), repotest.Folder("s", missing))
	})
	var problems []string
	changes, totals := compare(t, r, a, b, diff.Options{Problem: func(path string, err error) error {
		if !errors.As(err, new(*repo.MissingBlobError)) {
			t.Errorf("%s: %v", path, err)
		}
		problems = append(problems, path)
		return nil
	}})
	if want := []string{"- /b/", "- /c", "+ /n/"}; !slices.Equal(changes, want) {
		t.Errorf("changes %q, want %q", changes, want)
	}
	if want := []string{"/a/", "/n/"}; !slices.Equal(problems, want) {
		t.Errorf("problems in %q, want %q", problems, want)
	}
	if totals.Removed.Dirs != 1 || totals.Removed.Files != 1 || totals.Added.Dirs != 1 {
		t.Errorf("%+v", totals)
	}
	if _, err := diff.Run(t.Context(), r, a, b, nil); !errors.As(err, new(*repo.MissingBlobError)) {
		t.Errorf("without a handler: %v", err)
	}
	enough := errors.New("enough")
	stop := &diff.Options{Change: func(diff.Change) error { return enough }, Problem: func(string, error) error { return nil }}
	if _, err := diff.Run(t.Context(), r, a, b, stop); err != enough {
		t.Errorf("stopped by the caller: %v", err)
	}
}
