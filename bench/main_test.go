package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/bench/limit"
	"github.com/garner-backup/garner/bench/measure"
	"github.com/garner-backup/garner/bench/report"
	"github.com/garner-backup/garner/bench/scenario"
)

func TestMain(m *testing.M) {
	if measure.Child(os.Args[1:]) {
		return
	}
	os.Exit(m.Run())
}

// bench runs a command line and returns what it prints.
func bench(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs strings.Builder
	err = execute(t.Context(), withoutSync(args), &out, &errs)
	return out.String(), errs.String(), err
}

// benchFakes is bench for programs that are not garner: there is nothing to
// measure limits for.
func benchFakes(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return bench(t, append([]string{"--no-limits"}, args...)...)
}

// withoutSync keeps a run from waiting for what other tests write.
func withoutSync(args []string) []string {
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		return append([]string{"--no-sync"}, args...)
	}
	return args // a subcommand
}

// fake is a program with the command line of restic whose repository is a copy
// of the last source. Tests put more lines in front of what it does.
const fake = `#!/bin/sh
echo "$*" >>%[1]s/calls
if [ "$1" = version ]; then echo "fake 1.0"; exit; fi
repo=$2; op=$3; shift 3
%[2]s
case $op in
init) mkdir -p "$repo" ;;
backup) rm -rf "$repo/last"; cp -a "$1" "$repo/last"; echo "$1" >"$repo/source" ;;
restore)
	into=$3; source=$(cat "$repo/source")
	if [ "$4" = --include ]; then
		rel=${5#"$source/"}; mkdir -p "$into$source/$(dirname "$rel")"; cp -a "$repo/last/$rel" "$into$source/$rel"
	else
		mkdir -p "$into$source"; cp -a "$repo/last/." "$into$source"
	fi ;;
find) echo found ;;
esac
`

// fakePeer writes a fake with more lines of shell in it, and returns its path
// and the file with the command lines that it got.
func fakePeer(t *testing.T, lines string) (path, calls string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the fake is a shell script with GNU cp")
	}
	dir := t.TempDir()
	path = filepath.Join(dir, "fake")
	if err := os.WriteFile(path, fmt.Appendf(nil, fake, dir, lines), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, filepath.Join(dir, "calls")
}

func withoutMount() string {
	return strings.Join(slices.DeleteFunc(scenario.Operations(), func(op string) bool { return op == "mount" || strings.HasPrefix(op, "ls-") }), ",")
}

func readLines(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func TestRunDrivesPeersInTurn(t *testing.T) {
	a, callsA := fakePeer(t, "")
	b, callsB := fakePeer(t, "")
	dir, out := t.TempDir(), t.TempDir()
	_, stderr, err := bench(t, "--peer", "restic:a="+a, "--peer", "garner:b="+b, "--corpus", "src,big", "--scenario", "none",
		"--scale", "0.001", "--runs", "2", "--dir", dir, "--out", out, "--op", withoutMount())
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	rep, err := report.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"src", "big"} {
		for _, op := range strings.Split(withoutMount(), ",") {
			for _, p := range []string{"a", "b"} {
				if l := rep.Line(group, op, p); len(l.Samples) != 2 {
					t.Errorf("%s, %s, %s: %d samples", group, op, p, len(l.Samples))
				}
			}
		}
		if l := rep.Line(group, "backup1", "a"); l.Bytes == 0 || l.Samples[0].Repository < l.Bytes {
			t.Errorf("%s: %d bytes made a repository of %d", group, l.Bytes, l.Samples[0].Repository)
		}
	}
	if x, y := len(readLines(t, callsA)), len(readLines(t, callsB)); x != y {
		t.Errorf("a was called %d times and b %d", x, y)
	}
	if rep.Peers[0].Version != "fake 1.0" || rep.Peers[1].Kind != "garner" {
		t.Errorf("peers %+v", rep.Peers)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 { // corpora and lock
		t.Errorf("left %v (%v)", left, err)
	}
	if turns := inTurn(stderr); turns != "abba" {
		t.Errorf("backup1 of src went %s", turns)
	}
}

// inTurn returns the order in which peers did backup1 of src.
func inTurn(log string) string {
	turns := ""
	for l := range strings.Lines(log) {
		if f := strings.Fields(l); len(f) > 2 && f[0] == "src:" && f[1] == "backup1" {
			turns += f[2]
		}
	}
	return turns
}

// A program that restores something else is not measured: it is wrong.
func TestRunFailsIfARestoreDiffers(t *testing.T) {
	for name, damage := range map[string]string{
		"content": `echo x >>"$f"; touch -r "$repo/last/$rel" "$f"`,
		"time":    `touch "$f"`,
		"mode":    `chmod 777 "$f"`,
		"missing": `rm "$f"`,
		"more":    `touch -r "$into$source" "$f.old"; : >"$f.new"`,
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := fakePeer(t, "")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			script := string(b) + `if [ "$op" = restore ]; then f=$(find "$into$source" -type f | head -n 1); rel=${f#"$into$source/"}; ` + damage + "; fi\n"
			if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, op := range []string{"restore", "restore1"} {
				dir := t.TempDir()
				_, _, err = benchFakes(t, "--peer", "restic="+path, "--corpus", "tiny", "--scenario", "none", "--scale", "0.0005", "--runs", "1",
					"--dir", dir, "--out", filepath.Join(dir, "out"), "--op", op)
				if err == nil || !strings.Contains(err.Error(), "of the source") {
					t.Errorf("%s: error %v", op, err)
				}
				if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
					t.Errorf("%s: there is a report", op)
				}
			}
		})
	}
}

func TestRunReportsWhatFailed(t *testing.T) {
	path, _ := fakePeer(t, `if [ "$op" = ls ]; then echo "no such thing" >&2; exit 7; fi`)
	dir := t.TempDir()
	_, _, err := benchFakes(t, "--peer", "restic="+path, "--corpus", "tiny", "--scenario", "none", "--scale", "0.0005", "--runs", "1", "--dir", dir, "--out", dir)
	if err == nil || !strings.Contains(err.Error(), "exit code 7") || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("error %v", err)
	}
}

func TestInterruptCleansUp(t *testing.T) {
	path, calls := fakePeer(t, `if [ "$op" = backup ] && [ -e "$repo/last" ]; then sleep 60 & wait; fi`)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if b, err := os.ReadFile(calls); err == nil && strings.Count(string(b), " backup ") >= 2 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	err := execute(ctx, []string{"--no-limits", "--peer", "restic=" + path, "--corpus", "tiny", "--scenario", "none", "--scale", "0.0005", "--dir", dir, "--out", dir}, os.Stdout, os.Stderr)
	if err == nil {
		t.Fatal("no error")
	}
	left, err := filepath.Glob(filepath.Join(dir, "run-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left %v (%v)", left, err)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--corpus", "huge"}, "there are src"},
		{[]string{"--scenario", "huge"}, "there are heavy"},
		{[]string{"--op", "dance"}, "there are version"},
		{[]string{"--scale", "0"}, "above 0"},
		{[]string{"--runs", "0"}, "must be 1 to"},
		{[]string{"--blobs", "0"}, "at least 1"},
		{[]string{"--peer", "restic"}, "KIND=PATH"},
		{[]string{"--peer", "rsync=/bin/true"}, "there are borg"},
		{[]string{"--peer", "restic=/does/not/exist"}, "/does/not/exist"},
		{[]string{"--peer", "restic=true", "--peer", "restic=true"}, "two peers are called restic"},
		{[]string{"--peer", "restic:a/b=true"}, "letters"},
		{[]string{"now"}, "unknown command"},
		{[]string{"compare", "one.json"}, "accepts 2 arg"},
		{[]string{"compare", "one.json", "two.json"}, "one.json"},
		{[]string{"corpus", "huge", t.TempDir()}, "there are src"},
	} {
		args := test.args
		if strings.HasPrefix(args[0], "-") {
			dir := t.TempDir()
			args = append(args, "--dir", dir, "--out", dir)
		}
		_, _, err := bench(t, args...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want one with %q", test.args, err, test.want)
		}
	}
}

func TestTwoRunsInOneFolderAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is measured there")
	}
	dir := t.TempDir()
	unlock, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	path, _ := fakePeer(t, "")
	_, _, err = benchFakes(t, "--peer", "restic="+path, "--dir", dir, "--out", dir)
	if err == nil || !strings.Contains(err.Error(), "another bench") {
		t.Errorf("error %v", err)
	}
	unlock()
	if unlock, err = lockFolder(dir); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestCorpusAndCompareCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "files")
	for range 2 { // made, and found made
		out, _, err := bench(t, "corpus", "tiny", dir, "--scale", "0.0005")
		if want := dir + ": 100 files, 195631 bytes\n"; err != nil || out != want {
			t.Errorf("printed %q (%v), want %q", out, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "report.json")
	rep := &report.Report{Peers: []report.Peer{{Name: "garner"}}}
	rep.Line("src", "ls", "garner").Samples = []report.Sample{{Wall: 2}}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := rep.WriteJSON(f); err != nil {
		t.Fatal(err)
	}
	out, _, err := bench(t, "compare", file, file)
	if err != nil || !strings.Contains(out, "1 too few runs to tell") {
		t.Errorf("printed %q (%v)", out, err)
	}
}

// TestGarner measures the garner of this tree in all operations.
func TestGarner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is measured there")
	}
	garner := filepath.Join(t.TempDir(), "garner")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", garner, "../cmd/garner").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir, out := t.TempDir(), t.TempDir()
	args := []string{"--peer", "garner=" + garner, "--corpus", "src", "--scale", "0.001", "--runs", "1", "--dir", dir, "--out", out,
		"--scenario", "snapshots,blobs", "--snapshots", "3", "--blobs", "20000"}
	_, stderr, err := bench(t, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	rep, err := report.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range rep.Lines {
		for _, s := range l.Samples {
			if s.RSS == 0 || s.CPU() == 0 {
				t.Errorf("%s, %s, %s: %+v", l.Group, l.Operation, l.Peer, s)
			}
		}
	}
	for _, op := range scenario.Operations() {
		if len(rep.Line("src", op, "garner").Samples) != 1 && op != "mount" && op != "ls-cold" {
			t.Errorf("%s was not measured", op)
		}
	}
	if len(rep.Limits) != 1 || len(rep.Limits[0].Primitives) != len(limit.Primitives()) {
		t.Fatalf("limits %+v, notes %v", rep.Limits, rep.Notes)
	}
	for _, op := range []string{"backup1", "ls", "backup2", "backup3", "check", "checkdata", "restore", "copy", "prune"} {
		if !(rep.Limits[0].Seconds[op] > 0) {
			t.Errorf("%s has no limit", op)
		}
	}
	for group, ops := range map[string][]string{"snapshots": {"snapshots", "check"}, "blobs": {"ls-cold", "ls"}} {
		for _, op := range ops {
			if len(rep.Line(group, op, "garner").Samples) != 1 {
				t.Errorf("%s, %s was not measured", group, op)
			}
		}
	}
}
