package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/garner-backup/garner/repo/repotest"
)

// runAsGarner makes the test binary behave as the program.
const runAsGarner = "GARNER_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsGarner) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"garner": main})
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
			e.Setenv("RESTIC", restic)
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
	env  []string
}

func garner(t testing.TB, repository string) *program {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return newProgram(t, exe, repository, runAsGarner+"=1")
}

func newProgram(t testing.TB, path, repository string, env ...string) *program {
	return &program{t: t, path: path, env: append(append(os.Environ(),
		"RESTIC_REPOSITORY="+repository, "RESTIC_PASSWORD=secret", "RESTIC_CACHE_DIR="+t.TempDir()), env...)}
}

func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = p.env
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
