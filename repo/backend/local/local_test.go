package local_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/backendtest"
	"github.com/garner-backup/garner/repo/backend/local"
)

func open(t *testing.T, dir string) *local.Backend {
	t.Helper()
	be, err := local.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return be
}

func TestContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backend.Backend { return open(t, filepath.Join(t.TempDir(), "repo")) })
}

func packHandle(content string) backend.Handle {
	return backend.Handle{Type: backend.PackFile, Name: crypto.Hash([]byte(content)).String()}
}

func TestLayoutAndModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	be := open(t, dir)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Open made the directory")
	}
	if err := be.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := packHandle("pack")
	for handle, path := range map[backend.Handle]string{
		{Type: backend.ConfigFile}: "config", h: "data/" + h.Name[:2] + "/" + h.Name,
		{Type: backend.KeyFile, Name: h.Name}: "keys/" + h.Name, {Type: backend.LockFile, Name: h.Name}: "locks/" + h.Name,
	} {
		if err := be.Save(t.Context(), handle, backend.Bytes("pack")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode() != 0o400 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	for _, d := range []string{"data", "data/00", "data/ff", "index", "keys", "locks", "snapshots"} {
		if info, err := os.Stat(filepath.Join(dir, d)); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", d, info, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*-tmp-*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestGroupGetsAccessWhenTheConfigSaysSo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte("x"), 0o440); err != nil {
		t.Fatal(err)
	}
	h := packHandle("x")
	if err := open(t, dir).Save(t.Context(), h, backend.Bytes("x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "data", h.Name[:2], h.Name))
	if err != nil || info.Mode() != 0o440 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestMissingFoldersAreMadeButNotTheRepository(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	be := open(t, dir)
	h := packHandle("x")
	if err := be.Save(t.Context(), h, backend.Bytes("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("saved without a repository: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := be.Save(t.Context(), h, backend.Bytes("x")); err != nil {
		t.Errorf("a missing folder: %v", err)
	}
}

func TestForeignFilesAreIgnored(t *testing.T) {
	dir := t.TempDir()
	be := open(t, dir)
	if err := be.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := packHandle("x")
	for path, content := range map[string]string{
		"data/00/" + h.Name + "-tmp-123": "t", "data/README": "r", "snapshots/notes.txt": "n", "index/.nfs0001": "x",
		"data/zz/" + h.Name: "misplaced, and found", "keys/" + strings.ToUpper(h.Name): "upper case",
	} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "locks", h.Name), 0o700); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, typ := range backend.FileTypes() {
		for fi, err := range be.List(t.Context(), typ) {
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, typ.String()+"/"+fi.Name)
		}
	}
	if len(found) != 1 || found[0] != "data/"+h.Name {
		t.Errorf("listed %v", found)
	}
}

func TestOpenRefusesWhatIsNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, ""} {
		if _, err := local.Open(path, nil); err == nil {
			t.Errorf("opened %q", path)
		}
	}
}

func TestPermissionErrorsArePermanent(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may do everything")
	}
	dir := t.TempDir()
	be := open(t, dir)
	if err := be.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "keys"), 0o500); err != nil {
		t.Fatal(err)
	}
	err := be.Save(t.Context(), backend.Handle{Type: backend.KeyFile, Name: packHandle("x").Name}, backend.Bytes("x"))
	if !backend.IsPermanent(err) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	be, err := local.Open(dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = be.Stat(context.Background(), backend.Handle{Type: backend.ConfigFile})
	fmt.Println(errors.Is(err, backend.ErrNotExist))
	// Output: true
}
