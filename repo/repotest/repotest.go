// Package repotest helps to test programs that work with repositories: it
// finds the real restic, makes trees of files of every kind, and compares
// trees in all that a backup keeps.
package repotest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/local"
	"github.com/garner-backup/garner/repo/internal/osmeta"
	"github.com/garner-backup/garner/repo/tree"
)

// Restic returns the path of the real restic, 0.19 or newer: that in
// $GARNER_RESTIC, else the one in PATH. Without one the test is skipped, or,
// if $GARNER_REQUIRE_PEERS is set, fails.
func Restic(t testing.TB) string {
	t.Helper()
	path := find(t, "GARNER_RESTIC", "restic")
	out, err := exec.Command(path, "version").Output()
	var major, minor int
	if err == nil {
		_, err = fmt.Sscanf(string(out), "restic %d.%d", &major, &minor)
	}
	switch {
	case err == nil && (major > 0 || minor >= 19):
	case os.Getenv("GARNER_REQUIRE_PEERS") != "":
		t.Fatalf("%s is not restic 0.19 or newer: %q, %v", path, out, err)
	default:
		t.Skipf("%s is not restic 0.19 or newer; set $GARNER_RESTIC to one to run this test", path)
	}
	return path
}

// OldRestic is Restic for the oldest release that knows format 2, 0.14, in
// $GARNER_RESTIC_014.
func OldRestic(t testing.TB) string {
	t.Helper()
	return find(t, "GARNER_RESTIC_014", "restic-0.14")
}

func find(t testing.TB, env, name string) string {
	t.Helper()
	if path := os.Getenv(env); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("GARNER_REQUIRE_PEERS") != "" {
		t.Fatalf("no %s: set $%s to its path", name, env)
	}
	t.Skipf("no %s: set $%s to its path to run this test", name, env)
	return ""
}

// Manifest describes everything below dir that a backup keeps, a line for
// each item by its path: type, mode, owner, times, size, link target,
// attributes, device, the hash of the content and which items are one file.
// Access and change times are left out: a restore does not set them. Times of
// folders are left out with noFolderTimes.
func Manifest(t testing.TB, dir string, noFolderTimes bool) map[string]string {
	t.Helper()
	m := make(map[string]string)
	links := make(map[[2]uint64]string)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		m[rel], err = describe(path, rel, links, noFolderTimes)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func describe(path, rel string, links map[[2]uint64]string, noFolderTimes bool) (string, error) {
	var n tree.Node
	if err := osmeta.Stat(path, false, &n); err != nil {
		return "", err
	}
	if err := osmeta.FinishPath(path, &n); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%s %v %d:%d", n.Type, n.Mode, n.UID, n.GID)
	if n.Type != tree.TypeDir || !noFolderTimes {
		line += n.ModTime.UTC().Format(" 2006-01-02T15:04:05.999999999")
	}
	for _, x := range n.ExtendedAttributes {
		line += fmt.Sprintf(" %s=%x", x.Name, x.Value)
	}
	switch n.Type {
	case tree.TypeSymlink:
		line += fmt.Sprintf(" -> %q", n.LinkTarget)
	case tree.TypeDevice, tree.TypeCharDevice:
		line += fmt.Sprintf(" device %d", n.Device)
	case tree.TypeFile:
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %d bytes %v", len(b), crypto.Hash(b))
		if n.Links > 1 {
			id := [2]uint64{n.DeviceID, n.Inode}
			if links[id] == "" {
				links[id] = rel
			}
			line += " is " + links[id]
		}
	}
	return line, nil
}

// Same fails the test for each item in which two trees differ.
func Same(t testing.TB, want, got map[string]string) {
	t.Helper()
	for path, line := range want {
		if g, ok := got[path]; !ok {
			t.Errorf("%q is missing", path)
		} else if g != line {
			t.Errorf("%q is\n  %s\nwant\n  %s", path, g, line)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%q should not be there", path)
		}
	}
}

// Random returns size bytes that only seed determines.
func Random(seed byte, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// Init makes a repository of a format version in dir, with a key that costs
// no time to open.
func Init(t testing.TB, dir, password string, version int) {
	t.Helper()
	be, err := local.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := be.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	InitBackend(t, be, password, version)
}

// InitBackend is Init for any backend, whose folders are there.
func InitBackend(t testing.TB, be backend.Backend, password string, version int) {
	t.Helper()
	pol, err := chunk.RandomPol()
	if err != nil {
		t.Fatal(err)
	}
	master := crypto.NewKey()
	kf, err := crypto.NewKeyFile(password, master, crypto.KDFParams{N: 16, R: 8, P: 1})
	if err != nil {
		t.Fatal(err)
	}
	kf.Created, kf.Username, kf.Hostname = time.Now(), "tester", "testhost"
	key, err := kf.Encode()
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(repo.Config{Version: version, ID: crypto.RandomID(), ChunkerPolynomial: pol})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		be.Save(t.Context(), backend.Handle{Type: backend.KeyFile, Name: crypto.Hash(key).String()}, backend.Bytes(key)),
		be.Save(t.Context(), backend.Handle{Type: backend.ConfigFile}, backend.Bytes(master.Seal(nil, config))),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}
