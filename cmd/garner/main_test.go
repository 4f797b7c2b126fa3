package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/garner-backup/garner/cmd/garner/internal/keyring"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/repotest"
)

// binary is the path of the program, built once, without the race detector:
// deriving keys would take many times as long with it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "garner-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "garner")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build garner: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// thorough reports whether tests that take minutes try everything: only if
// $GARNER_THOROUGH is set. Otherwise they try a part, chosen at random where
// that makes sense.
func thorough() bool { return os.Getenv("GARNER_THOROUGH") != "" && !testing.Short() }

// keyringWorks reports whether --key-cache can be used here, which some
// containers don't allow.
func keyringWorks() bool {
	works := true
	c := keyring.New(time.Second, func(error) { works = false })
	id := crypto.RandomID()
	c.Store(id, "probe", crypto.NewKey())
	_, found := c.Load(id, "probe")
	return works && found
}

// TestScripts runs testdata/*.txt. In them $RESTIC is the real restic, if
// there is one, which the condition [restic] tells.
func TestScripts(t *testing.T) {
	restic := os.Getenv("GARNER_RESTIC")
	if restic == "" {
		restic, _ = exec.LookPath("restic")
	}
	if restic == "" && os.Getenv("GARNER_REQUIRE_PEERS") != "" {
		t.Fatal("no restic: set $GARNER_RESTIC to its path")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("RESTIC_PASSWORD", "secret")
			if keyringWorks() {
				e.Setenv("GARNER_KEY_CACHE", "10m") // deriving keys would take most of the time
			}
			e.Setenv("RESTIC", restic)
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("RESTIC_CACHE_DIR", filepath.Join(e.WorkDir, ".cache"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "restic":
				return restic != "", nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, nil
		},
	})
}

// result is what a program did.
type result struct {
	stdout, stderr string
	code           int
}

// program runs garner or a peer with a repository and a password.
type program struct {
	t    testing.TB
	path string
	dir  string // working directory
	env  []string
}

func garner(t testing.TB, repository string) *program { return newProgram(t, binary, repository) }

func newProgram(t testing.TB, path, repository string) *program {
	p := &program{t: t, path: path, env: append(os.Environ(),
		"RESTIC_REPOSITORY="+repository, "RESTIC_PASSWORD=secret", "RESTIC_CACHE_DIR="+t.TempDir())}
	if keyringWorks() {
		p.env = append(p.env, "GARNER_KEY_CACHE=10m") // most repositories have keys that take half a second
	}
	return p
}

// in returns the program working in a directory. Backups of relative paths
// from there have no folders of the machine in them, which others change.
func (p *program) in(dir string) *program {
	p.dir = dir
	return p
}

// newRepository makes a repository that is cheap to open.
func newRepository(t testing.TB, version int) string {
	dir := filepath.Join(t.TempDir(), "repo")
	repotest.Init(t, dir, "secret", version)
	return dir
}

func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	return cmd
}

// run returns whatever happens.
func (p *program) run(args ...string) result {
	p.t.Helper()
	cmd := p.command(p.t.Context(), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// ok fails the test unless the program succeeds, and returns its output.
func (p *program) ok(args ...string) string {
	p.t.Helper()
	r := p.run(args...)
	if r.code != 0 {
		p.t.Fatalf("%s %s: exit code %d\n%s%s", filepath.Base(p.path), strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

func restic(t testing.TB, repository string) *program {
	return newProgram(t, repotest.Restic(t), repository)
}

func oldRestic(t testing.TB, repository string) *program {
	return newProgram(t, repotest.OldRestic(t), repository)
}

// summaryOf returns the summary of a backup that ran with --json.
func summaryOf(t *testing.T, out string) (s backupSummary) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil || s.MessageType != "summary" {
		t.Fatalf("no summary in %q: %v", lines[len(lines)-1], err)
	}
	return s
}

// restored returns the manifest of what restoring the latest snapshot gives.
func restored(t *testing.T, p *program) map[string]string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "target")
	p.ok("restore", "latest", "--target", target)
	return repotest.Manifest(t, target, false)
}
