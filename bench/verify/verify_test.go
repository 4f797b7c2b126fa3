package verify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/garner-backup/garner/bench/verify"
)

// tree makes a small tree; all that make one are alike.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"empty", "sub/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"a": "hello", "sub/b": "", "sub/deep/c": string(make([]byte, 600_000))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set(t, dir, "a", "sub/b", "sub/deep/c", "sub/deep", "sub", "empty")
	return dir
}

// set sets the times of items to one that all trees have.
func set(t *testing.T, dir string, names ...string) {
	t.Helper()
	then := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	for _, n := range names {
		if err := os.Chtimes(filepath.Join(dir, n), then, then); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTreesFindsEachDifference(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"byte": func(dir string) error {
			b := make([]byte, 600_000)
			b[555_555] = 1
			return os.WriteFile(filepath.Join(dir, "sub/deep/c"), b, 0o644)
		},
		"size":           func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("hell"), 0o644) },
		"missing file":   func(dir string) error { return os.Remove(filepath.Join(dir, "a")) },
		"missing folder": func(dir string) error { return os.Remove(filepath.Join(dir, "empty")) },
		"file too many":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "sub/deep/d"), nil, 0o644) },
		"folder, no file": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "sub/b")), os.Mkdir(filepath.Join(dir, "sub/b"), 0o755))
		},
	} {
		want, got := tree(t), tree(t)
		if err := verify.Trees(t.Context(), want, got); err != nil {
			t.Fatalf("equal trees: %v", err)
		}
		if err := change(got); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{"a", "sub/b", "sub/deep/c", "sub/deep", "sub", "empty"} {
			if _, err := os.Stat(filepath.Join(got, n)); err == nil {
				set(t, got, n) // so that not the time tells
			}
		}
		var d *verify.Difference
		if err := verify.Trees(t.Context(), want, got); !errors.As(err, &d) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestTreesComparesMetadata(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits and links")
	}
	for name, change := range map[string]func(dir string) error{
		"mode":           func(dir string) error { return os.Chmod(filepath.Join(dir, "a"), 0o600) },
		"mode of folder": func(dir string) error { return os.Chmod(filepath.Join(dir, "empty"), 0o700) },
		"time":           func(dir string) error { now := time.Now(); return os.Chtimes(filepath.Join(dir, "sub/b"), now, now) },
		"time of folder": func(dir string) error { now := time.Now(); return os.Chtimes(filepath.Join(dir, "sub"), now, now) },
	} {
		want, got := tree(t), tree(t)
		if err := change(got); err != nil {
			t.Fatal(err)
		}
		var d *verify.Difference
		if err := verify.Trees(t.Context(), want, got); !errors.As(err, &d) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestFile(t *testing.T) {
	want, got := tree(t), t.TempDir()
	if err := os.CopyFS(filepath.Join(got, "sub"), os.DirFS(filepath.Join(want, "sub"))); err != nil {
		t.Fatal(err)
	}
	set(t, got, "sub/b", "sub/deep/c")
	var d *verify.Difference
	if err := verify.File(want, got, "sub/b"); !errors.As(err, &d) {
		t.Errorf("a file too many: error %v", err)
	}
	if err := os.Remove(filepath.Join(got, "sub/deep/c")); err != nil {
		t.Fatal(err)
	}
	if err := verify.File(want, got, "sub/b"); err != nil {
		t.Error(err)
	}
	if err := verify.File(want, got, "a"); !errors.As(err, &d) {
		t.Errorf("a missing file: error %v", err)
	}
}

func TestCancelledIsNotTheSame(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := verify.Trees(ctx, tree(t), tree(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func ExampleTrees() {
	dir, err := os.MkdirTemp("", "verify")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	source, restored := filepath.Join(dir, "source"), filepath.Join(dir, "restored")
	for _, d := range []string{filepath.Join(source, "photos"), restored} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			panic(err)
		}
	}
	fmt.Println(verify.Trees(context.Background(), source, restored))
	// Output: photos: missing
}
