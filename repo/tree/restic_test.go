package tree

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// resticProgram returns the real restic, or ends the test without one.
func resticProgram(t *testing.T) string {
	t.Helper()
	path := os.Getenv("GARNER_RESTIC")
	if path == "" {
		path, _ = exec.LookPath("restic")
	}
	if path == "" {
		if os.Getenv("GARNER_REQUIRE_PEERS") == "1" {
			t.Fatal("no restic: neither GARNER_RESTIC nor PATH has it")
		}
		t.Skip("no restic: neither GARNER_RESTIC nor PATH has it")
	}
	return path
}

// oddNames are those that need quoting or escaping; some file systems refuse
// some of them.
var oddNames = []string{
	"plain", `a"quote`, `back\slash`, "bad\xff\xfeutf", "tab\tnl\n", "<html>&amp", "bel\aesc\x1bdel\x7f", "it's",
	"\u0085\u00a0\u00ad\u2028\ufeff", "é\U0001f600\ufffd", "sur\xed\xa0\x80", "\U000e0001", "\x01", `\x41`, "~", "日本語",
}

func makeOddFiles(t *testing.T, dir string) {
	made := 0
	for i, name := range oddNames {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Repeat("x", i)), 0o640); err != nil {
			continue
		}
		made++
		when := time.Unix(int64(i)*150_000_000-1e9, int64(i)*100_100_100)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if made < 5 {
		t.Fatalf("only %d of %d files could be made", made, len(oddNames))
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"sub/link": "<plain>", "sub/raw": "bad\xff", "sub/none": "no where"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Logf("symbolic link to %q: %v", target, err)
		}
	}
	if err := os.Link(filepath.Join(dir, "plain"), filepath.Join(dir, "sub", "hard")); err != nil {
		t.Logf("hard link: %v", err)
	}
}

// Restic's trees, read and written again, keep their IDs.
func TestTreesMadeByResticSurvive(t *testing.T) {
	program := resticProgram(t)
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	makeOddFiles(t, files)
	restic := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command(program, append([]string{"--no-cache", "--quiet", "--repo", filepath.Join(dir, "repo")}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=x", "TZ=Europe/Berlin")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("restic %q: %v\n%s", args, err, &stderr)
		}
		return out
	}
	restic("init")
	restic("backup", "files") // relative, so that the folders above it are not in the snapshot
	names := make(map[string]bool)
	trees := 0
	for line := range strings.Lines(string(restic("list", "blobs"))) {
		kind, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "tree" {
			continue
		}
		trees++
		blob := restic("cat", "blob", id)
		nodes, err := Decode(blob)
		if err != nil {
			t.Fatalf("tree %s: %v\n%s", id, err, blob)
		}
		again, err := Encode(nodes)
		if err != nil {
			t.Fatalf("tree %s: %v", id, err)
		}
		// Before 0.16 restic lost what is not UTF-8 in link targets, and an
		// escaped U+FFFD is not written again as it was.
		lost := bytes.Contains(blob, []byte(`\ufffd"`)) && !bytes.Contains(blob, []byte("linktarget_raw"))
		if crypto.Hash(again).String() != id && !lost {
			t.Errorf("tree %s: have %s\nwant %s", id, again, blob)
		}
		for i := range nodes {
			names[nodes[i].Name] = true
		}
	}
	if trees < 3 {
		t.Errorf("only %d trees", trees)
	}
	entries, err := os.ReadDir(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !names[e.Name()] {
			t.Errorf("no node has the name %q", e.Name())
		}
	}
}
