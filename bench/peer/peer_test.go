package peer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/garner-backup/garner/bench/peer"
)

func ops() []peer.Op {
	return []peer.Op{peer.Version, peer.Init, peer.Attach, peer.Backup, peer.Snapshots, peer.Ls, peer.Find, peer.Stats, peer.Check, peer.CheckData,
		peer.Restore, peer.RestoreOne, peer.InitCopy, peer.Copy, peer.Prune, peer.Mount}
}

func target() peer.Target {
	return peer.Target{Repository: "/w/repository", Home: "/w/home", Source: "/data/src", Backups: 3, Snapshot: "k1234", Into: "/w/restore",
		One: "a/b.go", Pattern: "*.go", Second: "/w/second", Keep: 2, Point: "/w/mount"}
}

// program returns a file that can be run.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// TestCommandLines pins what is measured: it is what a user would type.
func TestCommandLines(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths differ")
	}
	path := program(t)
	var b strings.Builder
	for _, kind := range peer.Kinds() {
		p, err := peer.New(kind, kind, path)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range ops() {
			cmds, err := p.Commands(op, target(), "/bin")
			if errors.Is(err, peer.ErrUnsupported) {
				fmt.Fprintf(&b, "%s %s: %v\n", kind, op, err)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range cmds {
				fmt.Fprintf(&b, "%s %s: %s\n", kind, op, strings.TrimSpace(strings.TrimPrefix(c.String(), path)))
				if c.Dir != "" {
					fmt.Fprintf(&b, "\tin %s\n", c.Dir)
				}
			}
		}
		fmt.Fprintf(&b, "%s restores to %s\n", kind, p.Restored(target()))
	}
	want, err := os.ReadFile(filepath.Join("testdata", "commands.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("not as in testdata/commands.txt:\n%s", b.String())
	}
}

// What whoever runs the benchmark has set must not count, nor may programs
// share caches.
func TestEnvironmentIsClosed(t *testing.T) {
	t.Setenv("RESTIC_PACK_SIZE", "64")
	t.Setenv("BORG_PASSPHRASE", "theirs")
	for _, kind := range peer.Kinds() {
		p, err := peer.New(kind, kind, program(t))
		if err != nil {
			t.Fatal(err)
		}
		cmds, err := p.Commands(peer.Backup, target(), "/bin")
		if err != nil {
			t.Fatal(err)
		}
		env := cmds[0].Env
		if !slices.Contains(env, "PATH=/bin") || !slices.Contains(env, "HOME=/w/home") {
			t.Errorf("%s: %v", kind, env)
		}
		for _, v := range env {
			if strings.Contains(v, "theirs") || strings.HasPrefix(v, "RESTIC_PACK_SIZE") {
				t.Errorf("%s gets %s", kind, v)
			}
		}
	}
}

func TestParse(t *testing.T) {
	path := program(t)
	for text, want := range map[string]string{"restic=" + path: "restic restic", "garner:old=" + path: "garner old"} {
		p, err := peer.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := p.Kind + " " + p.Name; got != want || p.Path != path {
			t.Errorf("%s: %s at %s", text, got, p.Path)
		}
	}
	for _, text := range []string{"", "restic", "restic=", "=x", "tar=" + path, "restic:=" + path, "restic:..=" + path, "restic:a b=" + path, "restic=/does/not/exist"} {
		if _, err := peer.Parse(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestLatest(t *testing.T) {
	k, err := peer.New("kopia", "kopia", program(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd, parse, ok := k.Latest(target(), "/bin")
	if !ok || !slices.Contains(cmd.Args, "/data/src") {
		t.Fatalf("%v, %v", cmd, ok)
	}
	if id, err := parse([]byte(`[{"id":"k1"},{"id":"k2"}]`)); id != "k2" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	for _, doc := range []string{``, `[]`, `[{}]`, `{"id":"k1"}`} {
		if _, err := parse([]byte(doc)); err == nil {
			t.Errorf("%s: no error", doc)
		}
	}
	r, err := peer.New("restic", "restic", program(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := r.Latest(target(), "/bin"); ok {
		t.Error("restic needs no ID")
	}
}

func ExampleParse() {
	_, err := peer.Parse("restic")
	fmt.Println(err)
	// Output: peer "restic": write KIND=PATH or KIND:NAME=PATH, as in restic=/usr/bin/restic or garner:old=/tmp/garner
}
