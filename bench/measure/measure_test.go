package measure_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/bench/measure"
)

func TestMain(m *testing.M) {
	if measure.Child(os.Args[1:]) {
		return
	}
	os.Exit(m.Run())
}

func runner(t *testing.T) *measure.Runner {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	return &measure.Runner{Scratch: t.TempDir()}
}

func sh(script string) measure.Command {
	return measure.Command{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH"), "GREETING=hello"}}
}

func TestRunTellsWhatAProgramTook(t *testing.T) {
	r := runner(t)
	c := sh(`echo "$GREETING"; pwd; sleep 0.05`)
	c.Dir = t.TempDir()
	u, err := r.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if u.Wall < 50*time.Millisecond || u.RSS == 0 || u.Syscalls != 0 {
		t.Errorf("usage %+v", u)
	}
	out, err := os.ReadFile(r.Stdout())
	if err != nil {
		t.Fatal(err)
	}
	if want := "hello\n" + c.Dir + "\n"; string(out) != want {
		t.Errorf("printed %q, want %q", out, want)
	}
}

// The peak is that of the program, and not that of who measures, which this
// test makes large.
func TestPeakIsTheProgramsOwn(t *testing.T) {
	r := runner(t)
	const size = 300 << 20
	block := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	u, err := r.Run(t.Context(), sh("true"))
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS >= size/2 {
		t.Errorf("the peak of true is %d MiB", u.RSS>>20)
	}
	runtime.KeepAlive(block)
}

func TestFailureIsReported(t *testing.T) {
	r := runner(t)
	_, err := r.Run(t.Context(), sh("echo went wrong >&2; exit 3"))
	var failed *measure.FailedError
	if !errors.As(err, &failed) || failed.Code != 3 || failed.Stderr != "went wrong" {
		t.Errorf("error %v", err)
	}
	_, err = r.Run(t.Context(), measure.Command{Args: []string{"/does/not/exist"}})
	if err == nil || errors.As(err, &failed) && failed.Command.Args[0] == "/does/not/exist" {
		t.Errorf("error %v for a program that is not there", err)
	}
}

func TestCancelEndsTheProgram(t *testing.T) {
	r := runner(t)
	ctx, cancel := context.WithCancel(t.Context())
	started, ended := filepath.Join(t.TempDir(), "started"), filepath.Join(t.TempDir(), "ended")
	go func() {
		for {
			if _, err := os.Stat(started); err == nil {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := r.Run(ctx, sh(fmt.Sprintf("trap 'touch %s; exit' TERM; touch %s; while :; do sleep 0.01; done", ended, started)))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(ended); err != nil {
		t.Error("the program was not asked to end")
	}
}

func TestRunMountedReadsAllFiles(t *testing.T) {
	r := runner(t)
	point, stop := filepath.Join(t.TempDir(), "point"), filepath.Join(t.TempDir(), "stop")
	mounted := measure.Mounted{
		Command: sh(fmt.Sprintf("mkdir -p %[1]s/in; echo one > %[1]s/in/a; echo two > %[1]s/in/b; while ! [ -e %s ]; do sleep 0.01; done", point, stop)),
		Point:   point, Unmount: sh("touch " + stop),
		Read: func() (string, error) { return filepath.Join(point, "in"), waitFor(filepath.Join(point, "in", "b"), 4) },
	}
	u, res, err := r.RunMounted(t.Context(), mounted)
	if err != nil {
		t.Fatal(err)
	}
	if res.Files != 2 || res.Bytes != 8 || u.Wall == 0 {
		t.Errorf("read %+v in %v", res, u.Wall)
	}
	mounted.Command, mounted.Point = sh("echo no fuse >&2; exit 1"), t.TempDir()
	if _, _, err := r.RunMounted(t.Context(), mounted); err == nil || !strings.Contains(err.Error(), "no fuse") {
		t.Errorf("error %v", err)
	}
}

// waitFor waits until a file has a size.
func waitFor(name string, size int64) error {
	for range 1000 {
		if fi, err := os.Stat(name); err == nil && fi.Size() == size {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New(name + " does not come")
}

func TestCommandsCanBeTyped(t *testing.T) {
	c := measure.Command{Args: []string{"restic", "find", "*.go", "it's", ""}}
	if got, want := c.String(), `restic find '*.go' 'it'\''s' ''`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func ExampleUsage_Add() {
	prune := measure.Usage{Wall: 3 * time.Second, RSS: 100}
	compact := measure.Usage{Wall: time.Second, RSS: 70}
	u := prune.Add(compact)
	fmt.Println(u.Wall, u.RSS)
	// Output: 4s 100
}
