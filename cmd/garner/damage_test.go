package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/garner-backup/garner/repo/repotest"
)

// damagedRepository is a repository with one snapshot, of which a test may
// damage a copy.
func damagedRepository(t *testing.T) (copyOf func(t *testing.T) string) {
	src := t.TempDir()
	for name, content := range map[string]string{"a/one": "first file", "a/two": "second file", "b/three": strings.Repeat("third ", 1000)} {
		path := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	repository := newRepository(t, 2)
	garner(t, repository).in(src).ok("backup", ".")
	return func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "repo")
		if err := os.CopyFS(dir, os.DirFS(repository)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
}

// change damages the first file that matches a pattern.
func change(t *testing.T, repository, pattern, how string) (name string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing matches %s: %v", pattern, err)
	}
	path := files[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	switch how {
	case "missing":
		err = os.Remove(path)
	case "truncated":
		err = os.WriteFile(path, b[:len(b)/2], 0o600)
	case "short":
		err = os.WriteFile(path, b[:min(len(b), 20)], 0o600)
	case "empty":
		err = os.WriteFile(path, nil, 0o600)
	case "flipped":
		b = bytes.Clone(b)
		b[len(b)/3] ^= 0x40
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(path)
}

// TestEveryDamageIsFound damages one file in each folder of a repository in
// each way. Check fails, names the file and does not crash; what can't work
// any more fails with the right code; and the real restic, too, finds fault.
func TestEveryDamageIsFound(t *testing.T) {
	t.Parallel()
	copyOf := damagedRepository(t)
	for _, tc := range []struct {
		files string
		how   []string
		code  int // of check
	}{
		{"config", []string{"missing"}, 10},
		{"config", []string{"truncated", "short", "empty", "flipped"}, 1},
		{"keys/*", []string{"missing"}, 12},
		{"keys/*", []string{"truncated", "short", "empty", "flipped"}, 1},
		{"index/*", []string{"missing", "truncated", "short", "empty", "flipped"}, 1},
		{"snapshots/*", []string{"truncated", "short", "empty", "flipped"}, 1},
		{"data/*/*", []string{"missing", "truncated", "short", "empty", "flipped"}, 1},
	} {
		for _, how := range tc.how {
			t.Run(tc.files+" "+how, func(t *testing.T) {
				t.Parallel()
				repository := copyOf(t)
				name := change(t, repository, tc.files, how)
				g, r := garner(t, repository), restic(t, repository)
				res := g.run("check", "--read-data", "--no-lock")
				if res.code != tc.code {
					t.Errorf("check: exit code %d, want %d\n%s%s", res.code, tc.code, res.stdout, res.stderr)
				}
				if strings.Contains(res.stderr, "goroutine") {
					t.Errorf("check crashed:\n%s", res.stderr)
				}
				named := name
				if how == "missing" || tc.files == "keys/*" {
					named = "" // its name is nowhere, or its key fits nobody
				}
				if how != "missing" && !strings.Contains(res.stderr+res.stdout, named[:min(8, len(named))]) {
					t.Errorf("check does not name %s:\n%s%s", name, res.stdout, res.stderr)
				}
				if other := r.run("check", "--read-data", "--no-lock"); other.code == 0 {
					t.Errorf("restic finds nothing wrong")
				}
				back := g.run("restore", "latest", "--target", t.TempDir(), "--no-lock")
				// A pack that lacks no more than its header still gives its
				// blobs.
				if back.code == 0 && (tc.files != "data/*/*" || how == "missing" || how == "empty") {
					t.Errorf("restore succeeds")
				}
				if strings.Contains(back.stderr, "goroutine") {
					t.Errorf("restore crashed:\n%s", back.stderr)
				}
			})
		}
	}
}

// TestADamagedBlobCostsOnlyItsFiles flips a bit in the data of one file.
func TestADamagedBlobCostsOnlyItsFiles(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	for i, name := range []string{"good1", "bad", "good2"} {
		if err := os.WriteFile(filepath.Join(src, name), repotest.Random(byte(i), 600_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	repository := newRepository(t, 2)
	g := garner(t, repository).in(src)
	g.ok("backup", "--compression", "off", ".")
	packs, err := filepath.Glob(filepath.Join(repository, "data/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packs {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() < 1<<20 {
			continue // the pack of trees
		}
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		b[100] ^= 1 // in the first blob, whichever that is
		if err := os.Chmod(p, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target := t.TempDir()
	res := g.run("restore", "latest", "--target", target)
	if res.code != 1 {
		t.Errorf("exit code %d", res.code)
	}
	whole := 0
	for i, name := range []string{"good1", "bad", "good2"} {
		b, _ := os.ReadFile(filepath.Join(target, name))
		if bytes.Equal(b, repotest.Random(byte(i), 600_000)) {
			whole++
		} else if !strings.Contains(res.stderr, "/"+name) {
			t.Errorf("%s is damaged, but not named:\n%s", name, res.stderr)
		}
	}
	if whole != 2 {
		t.Errorf("%d of 3 files are whole, want 2", whole)
	}
}
