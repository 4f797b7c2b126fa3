package corpus_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/garner-backup/garner/bench/corpus"
)

func made(t *testing.T, name string, scale float64) *corpus.Corpus {
	t.Helper()
	c, err := corpus.Make(t.Context(), filepath.Join(t.TempDir(), name), corpus.Spec{Name: name, Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// digest returns a hash of all names, kinds, permissions, times and bytes.
// Times of links can't be set everywhere, so they are left out.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			fmt.Fprintf(h, "%q %v %d\n", filepath.ToSlash(rel), fi.Mode(), fi.ModTime().UnixNano())
		case d.Type() == fs.ModeSymlink:
			link, err := os.Readlink(name)
			fmt.Fprintf(h, "%q -> %q\n", filepath.ToSlash(rel), link)
			return err
		default:
			fmt.Fprintf(h, "%q %v %d %d\n", filepath.ToSlash(rel), fi.Mode(), fi.ModTime().UnixNano(), fi.Size())
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(h, f)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// TestCorporaAreTheSameEverywhere pins what a seed makes: numbers of different
// machines and days are about the same files. Who changes a corpus raises its
// generation.
func TestCorporaAreTheSameEverywhere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	for name, want := range map[string]string{
		"src": "b6ed74cbc6b77fde", "tiny": "98a03b37aedc994e", "big": "02ef8fc4189691f3", "vm": "e71822d332955d12", "mail": "9c104f815de2e9f2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := made(t, name, 0.002)
			if got := digest(t, c.Dir); got != want {
				t.Errorf("digest %s, want %s", got, want)
			}
		})
	}
}

func TestSeedsDiffer(t *testing.T) {
	dir := t.TempDir()
	seen := make(map[string]uint64)
	for seed := range uint64(4) {
		c, err := corpus.Make(t.Context(), filepath.Join(dir, fmt.Sprint(seed)), corpus.Spec{Name: "tiny", Scale: 0.0001, Seed: seed + 1})
		if err != nil {
			t.Fatal(err)
		}
		d := digest(t, c.Dir)
		if other, ok := seen[d]; ok {
			t.Errorf("seeds %d and %d make the same", other, seed)
		}
		seen[d] = seed
	}
}

func TestChangeIsUndone(t *testing.T) {
	for _, name := range corpus.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := made(t, name, 0.002)
			before := digest(t, c.Dir)
			var after [2]string
			for i := range after {
				changed, err := c.Change()
				if err != nil {
					t.Fatal(err)
				}
				after[i] = digest(t, c.Dir)
				if after[i] == before {
					t.Error("nothing was changed")
				}
				if i == 0 { // the second one is left to Make
					if err := changed.Undo(); err != nil {
						t.Fatal(err)
					}
					if digest(t, c.Dir) != before {
						t.Error("not undone")
					}
				}
			}
			if after[0] != after[1] {
				t.Error("two changes differ")
			}
			again, err := corpus.Make(context.Background(), c.Dir, c.Spec)
			if err != nil {
				t.Fatal(err)
			}
			if digest(t, c.Dir) != before {
				t.Error("Make left a change of before")
			}
			if *again != *c {
				t.Errorf("found %+v, made %+v", again, c)
			}
		})
	}
}

func TestMakeLeavesWhatIsNotItsOwn(t *testing.T) {
	c := made(t, "tiny", 0.0001)
	for _, test := range []struct {
		name, dir string
		spec      corpus.Spec
		want      string
	}{
		{"another scale", c.Dir, corpus.Spec{Name: "tiny", Scale: 0.0002}, "another corpus"},
		{"another corpus", c.Dir, corpus.Spec{Name: "vm", Scale: 0.0001}, "another corpus"},
		{"no stamp", filepath.Dir(c.Dir), corpus.Spec{Name: "tiny"}, "not empty"},
		{"unknown", t.TempDir(), corpus.Spec{Name: "huge"}, "there are src, tiny"},
		{"scale", t.TempDir(), corpus.Spec{Name: "tiny", Scale: -1}, "above 0"},
	} {
		before := digest(t, c.Dir)
		_, err := corpus.Make(t.Context(), test.dir, test.spec)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
		if digest(t, c.Dir) != before {
			t.Errorf("%s: the files were touched", test.name)
		}
	}
	if err := corpus.Remove(c.Dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(c.Dir)); err != nil || len(left) > 0 {
		t.Errorf("Remove left %v (%v)", left, err)
	}
}

func TestInterruptedMakeLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := corpus.Make(ctx, filepath.Join(dir, "src"), corpus.Spec{Name: "src", Scale: 0.002}); err == nil {
		t.Fatal("no error")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v (%v)", left, err)
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	spec := corpus.Spec{Name: "tiny", Scale: 0.0005}
	c, err := corpus.Make(context.Background(), filepath.Join(dir, spec.Folder()), spec)
	if err != nil {
		panic(err)
	}
	fmt.Println(c.Files, c.Bytes, c.One)
	// Output: 100 195631 d00/d0001/f000050.dat
}
