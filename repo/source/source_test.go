package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/garner-backup/garner/repo/pattern"
	"github.com/garner-backup/garner/repo/source"
	"github.com/garner-backup/garner/repo/tree"
)

// listing returns the paths in a source, folders with a slash behind them,
// and the content of files.
func listing(t testing.TB, src source.Source) map[string]string {
	t.Helper()
	root, err := src.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	list(t, root, "", m)
	return m
}

func list(t testing.TB, d source.Folder, dir string, m map[string]string) {
	t.Helper()
	defer d.Close()
	names, err := d.Names()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(names) {
		t.Errorf("%s: names are not in order: %q", dir, names)
	}
	for _, name := range names {
		var n tree.Node
		ok, err := d.Lstat(name, &n)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		p := path.Join(dir, name)
		if n.Name != name {
			t.Errorf("%s is called %q", p, n.Name)
		}
		switch n.Type {
		case tree.TypeDir:
			m[p+"/"] = ""
			sub, err := d.OpenFolder(name)
			if err != nil {
				t.Fatal(err)
			}
			list(t, sub, p, m)
		case tree.TypeFile:
			f, err := d.OpenFile(name, &n)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(f)
			if err == nil {
				err = f.Finish(&n)
			}
			if err != nil {
				t.Fatal(err)
			}
			m[p] = string(b)
			f.Close()
		default:
			if err := d.Finish(name, &n); err != nil {
				t.Fatal(err)
			}
			m[p] = string(n.Type) + " " + n.LinkTarget
		}
	}
}

func paths(m map[string]string) string {
	var list []string
	for p := range m {
		list = append(list, p)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// chdir makes files in a folder that becomes the working directory.
func chdir(t *testing.T, files ...string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTargets(t *testing.T) {
	chdir(t, "a/one", "a/b/two", "c/three", "other/a/four")
	for targets, want := range map[string]string{
		"a":            "a/ a/b/ a/b/two a/one",
		"a/b":          "a/ a/b/ a/b/two",
		"a/b a":        "a/ a/b/ a/b/two a/one",
		"a a":          "a/ a/b/ a/b/two a/one",
		"./a/../c":     "c/ c/three",
		".":            "a/ a/b/ a/b/two a/one c/ c/three other/ other/a/ other/a/four",
		"a/one c":      "a/ a/one c/ c/three",
		"other/../a/b": "a/ a/b/ a/b/two",
	} {
		src, err := source.Dir(strings.Fields(targets), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := paths(listing(t, src)); got != want {
			t.Errorf("%s:\n%s, want\n%s", targets, got, want)
		}
	}
}

func TestTargetsOfTheSameNameGetNumbers(t *testing.T) {
	chdir(t, "x/a/one", "y/a/two")
	t.Chdir("x/a")
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(wd))
	src, err := source.Dir([]string{"a", "../y/a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(listing(t, src)); got != "a/ a/one y/ y/a/ y/a/two" {
		t.Errorf("%s", got)
	}
	t.Chdir("a")
	src, err = source.Dir([]string{"../a", "../../y/a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(listing(t, src)); got != "a/ a/one y/ y/a/ y/a/two" {
		t.Errorf("%s", got)
	}
}

func lists(t testing.TB, patterns ...string) []*pattern.List {
	t.Helper()
	l, err := pattern.Parse(patterns, nil)
	if err != nil {
		t.Fatal(err)
	}
	return []*pattern.List{l}
}

func TestExcludes(t *testing.T) {
	chdir(t, "a/one=1", "a/big="+strings.Repeat("x", 100), "a/cache/CACHEDIR.TAG=Signature: 8a477f597d28d172789f06886806bc55 and more", "a/cache/junk=j",
		"a/fake/CACHEDIR.TAG=no signature", "a/fake/kept=k", "a/no/.nobackup=", "a/no/junk=j", "a/no/sub/junk=j")
	for name, tc := range map[string]struct {
		opts source.Options
		want string
	}{
		"nothing": {source.Options{}, "a/ a/big a/cache/ a/cache/CACHEDIR.TAG a/cache/junk a/fake/ a/fake/CACHEDIR.TAG a/fake/kept a/no/ a/no/.nobackup a/no/junk a/no/sub/ a/no/sub/junk a/one"},
		"pattern": {source.Options{Excludes: lists(t, "junk", "/**/fake", "big")}, "a/ a/cache/ a/cache/CACHEDIR.TAG a/no/ a/no/.nobackup a/no/sub/ a/one"},
		"size":    {source.Options{ExcludeLargerThan: 99, Excludes: lists(t, "cache", "fake", "no")}, "a/ a/one"},
		"markers": {source.Options{ExcludeIfPresent: []source.Marker{source.CacheMarker(), {Name: ".nobackup"}}},
			"a/ a/big a/cache/ a/cache/CACHEDIR.TAG a/fake/ a/fake/CACHEDIR.TAG a/fake/kept a/no/ a/no/.nobackup a/one"},
		"the target itself": {source.Options{Excludes: lists(t, "/**/a", "big", "cache", "fake", "no")}, "a/"},
	} {
		var excluded []string
		tc.opts.Excluded = func(p string) { excluded = append(excluded, p) }
		src, err := source.Dir([]string{"a"}, &tc.opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := paths(listing(t, src)); got != tc.want {
			t.Errorf("%s:\n%s, want\n%s", name, got, tc.want)
		}
		if (len(excluded) == 0) != (name == "nothing") {
			t.Errorf("%s: told of %v", name, excluded)
		}
	}
}

func TestMissingTargets(t *testing.T) {
	chdir(t, "a=1")
	var warned []string
	opts := &source.Options{Warn: func(p string, err error) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", p, err)
		}
		warned = append(warned, p)
	}}
	src, err := source.Dir([]string{"gone", "a"}, opts)
	if err != nil || len(warned) != 1 || warned[0] != "gone" {
		t.Fatalf("%v, warned of %v", err, warned)
	}
	wd, _ := os.Getwd()
	if got := src.Paths(); len(got) != 1 || got[0] != filepath.Join(wd, "a") {
		t.Errorf("paths %v", got)
	}
	if _, err := source.Dir([]string{"gone", "lost"}, opts); !errors.Is(err, source.ErrNoTargets) {
		t.Errorf("err = %v", err)
	}
	if _, err := source.Dir([]string{""}, nil); err == nil {
		t.Error("an empty path was accepted")
	}
}

func TestWhatTakesAFilesPlaceIsRefused(t *testing.T) {
	chdir(t, "d/f=1", "elsewhere=secret")
	src, err := source.Dir([]string{"d"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := src.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := root.OpenFolder("d")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var n tree.Node
	if _, err := d.Lstat("f", &n); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("d/f"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.OpenFile("f", &n); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a vanished file: %v", err)
	}
	if err := os.Symlink("../elsewhere", "d/f"); err != nil {
		t.Skip(err)
	}
	if f, err := d.OpenFile("f", &n); err == nil {
		b, _ := io.ReadAll(f)
		t.Errorf("the link was followed to %q", b)
	}
	if err := os.Remove("d/f"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("d/f", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := d.OpenFile("f", &n); err == nil {
		t.Error("a folder was opened as a file")
	}
}

func TestStream(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for name, want := range map[string]string{"dump.sql": "dump.sql", "/srv/db/dump.sql": "srv/ srv/db/ srv/db/dump.sql", "a//b": "a/ a/b", "../x": "x"} {
		src, err := source.Stream(name, strings.NewReader("content"), at)
		if err != nil {
			t.Fatal(err)
		}
		got := listing(t, src)
		if paths(got) != want {
			t.Errorf("%s: %s", name, paths(got))
		}
		for p, content := range got {
			if !strings.HasSuffix(p, "/") && content != "content" {
				t.Errorf("%s has %q", p, content)
			}
		}
	}
	for _, name := range []string{"", "/", "dir/"} {
		if _, err := source.Stream(name, strings.NewReader(""), at); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func TestScan(t *testing.T) {
	src := source.FS(fstest.MapFS{"a/b": {Data: make([]byte, 10)}, "c": {Data: make([]byte, 5)}, "d/e/f": {}})
	calls := 0
	got, err := source.Scan(t.Context(), src, func(source.Totals) { calls++ })
	if err != nil || got != (source.Totals{Files: 3, Folders: 3, Bytes: 15}) || calls != 4 {
		t.Errorf("%+v, %v, %d calls", got, err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.Scan(ctx, src, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func ExampleFS() {
	src := source.FS(fstest.MapFS{"notes/today": {Data: []byte("hello")}}, "/notes")
	totals, err := source.Scan(context.Background(), src, nil)
	fmt.Println(src.Paths(), totals.Files, "file of", totals.Bytes, "bytes", err)
	// Output: [/notes] 1 file of 5 bytes <nil>
}
