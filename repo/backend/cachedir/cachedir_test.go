package cachedir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/repo/backend/cachedir"
)

func ExampleList() {
	base, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(base)
	if err := os.MkdirAll(filepath.Join(base, strings.Repeat("ab", 32), "snapshots"), 0o700); err != nil {
		fmt.Println(err)
		return
	}
	list, err := cachedir.List(base)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range list {
		size, err := f.Size()
		fmt.Println(f.Name()[:8], size, f.Old(time.Now(), cachedir.MaxAge), err)
	}
	// Output: abababab 0 false <nil>
}

func TestOnlyCachesAreListed(t *testing.T) {
	base := t.TempDir()
	now := time.Now()
	id, older := strings.Repeat("0a", 32), strings.Repeat("f", 64)
	for name, age := range map[string]time.Duration{
		id: time.Hour, older: 31 * 24 * time.Hour, "restic-check-cache-42": 29 * 24 * time.Hour,
		strings.Repeat("F", 64): 0, id[1:]: 0, "restic-check-cache-x": 0, "other": 0,
	} {
		dir := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "data", "x"), []byte("12345"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(base, strings.Repeat("1", 64)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(base, "other"), filepath.Join(base, strings.Repeat("2", 64))); err != nil {
		t.Fatal(err)
	}
	list, err := cachedir.List(base)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		size, err := f.Size()
		got = append(got, fmt.Sprint(f.Name(), f.Old(now, cachedir.MaxAge), size, err))
	}
	want := []string{older + "true 5 <nil>", "restic-check-cache-42false 5 <nil>", id + "false 5 <nil>"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("list is\n%s", strings.Join(got, "\n"))
	}
	if err := list[0].Remove(); err != nil {
		t.Error(err)
	}
	if list, err = cachedir.List(base); err != nil || len(list) != 2 {
		t.Errorf("after removing one: %v, %v", list, err)
	}
	if list, err = cachedir.List(filepath.Join(base, "nothing")); err != nil || len(list) != 0 {
		t.Errorf("a folder that is not there: %v, %v", list, err)
	}
	if _, err := cachedir.List(filepath.Join(base, strings.Repeat("1", 64))); err == nil {
		t.Error("a file is a folder of caches")
	}
}
