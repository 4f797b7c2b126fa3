package repotest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// GoldenPassword opens every golden repository.
const GoldenPassword = "geheim"

// Golden unpacks the golden repository of that name, which the real restic
// made, and returns its folder. What there is stands in testdata/README.md.
// The caller may change it: each call gives a new one.
func Golden(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(goldenFolder(t), name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	if err := unpack(f, dir); err != nil {
		t.Fatalf("unpack golden repository %s: %v", name, err)
	}
	return filepath.Join(dir, name)
}

// GoldenItems returns what one of the trees "one", "two" and "three" that the
// golden repositories hold consists of: for each path its line of the list
// without the path.
func GoldenItems(t testing.TB, state string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(goldenFolder(t), state+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	items := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		cut := strings.LastIndexByte(line, ' ') // there is none in a quoted path
		path, err := strconv.Unquote(line[cut+1:])
		if err != nil {
			t.Fatalf("%s.txt: %q: %v", state, line, err)
		}
		items[path] = line[:cut]
	}
	return items
}

// goldenFolder looks for the folder from the test's own folder upwards.
func goldenFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		golden := filepath.Join(dir, "testdata", "golden")
		if _, err := os.Stat(golden); err == nil {
			return golden
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no testdata/golden in this folder or above it")
		}
		dir = up
	}
}

func unpack(r io.Reader, dir string) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackItem(tr, h, dir); err != nil {
			return err
		}
	}
}

// unpackItem makes everything writable, unlike restic, so that tests can
// damage it.
func unpackItem(tr *tar.Reader, h *tar.Header, dir string) error {
	if !filepath.IsLocal(h.Name) {
		return errors.New("path leads outside: " + h.Name)
	}
	path := filepath.Join(dir, filepath.FromSlash(h.Name))
	if h.Typeflag == tar.TypeDir {
		return os.MkdirAll(path, 0o700)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, tr)
	return errors.Join(err, f.Close())
}
