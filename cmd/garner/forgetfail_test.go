//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/garner-backup/garner/repo/snapshot"
)

// TestForgetOfSnapshotsThatCanNotBeRemoved runs both programs as a user who
// may do anything but remove snapshots.
func TestForgetOfSnapshotsThatCanNotBeRemoved(t *testing.T) {
	t.Parallel()
	var list []*snapshot.Snapshot
	for day := range 4 {
		list = append(list, &snapshot.Snapshot{Time: time.Date(2024, 1, 1+day, 0, 0, 0, 0, time.UTC), Hostname: "alpha", Paths: []string{"/x"}})
	}
	saved := saveSnapshots(t, list)
	open, err := os.MkdirTemp("", "garner-forget-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Chmod(filepath.Join(open, "repo", "snapshots"), 0o700)
		_ = os.RemoveAll(open)
	})
	dir := filepath.Join(open, "repo")
	for _, cmd := range [][]string{
		{"cp", "-r", saved, dir}, {"cp", binary, filepath.Join(open, "garner")}, {"cp", restic(t, dir).path, filepath.Join(open, "restic")},
		{"chmod", "-R", "a+rwX", open}, {"chmod", "a=rx", filepath.Join(dir, "snapshots")},
	} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	unprivileged := func(name string, args ...string) (string, string, int) {
		p := newProgram(t, filepath.Join(open, name), dir)
		cmd := p.command(context.Background(), append([]string{"--no-cache"}, args...)...)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run() // the exit code says it
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
	for _, args := range [][]string{{"forget", "--keep-last", "1", "--json"}, {"forget", list[0].ID.String(), list[2].ID.String(), "--json"}} {
		have, messages, code := unprivileged("garner", args...)
		want, _, wantCode := unprivileged("restic", args...)
		if code != 3 || wantCode != 3 || !slices.Equal(groupsOf(t, have), groupsOf(t, want)) {
			t.Errorf("%q: exit code %d, restic %d\n%s\n%s", args, code, wantCode, have, want)
		}
		if n := strings.Count(messages, "unable to remove snapshot/"); n < 2 || !strings.Contains(messages, `"code":3,"message":"Fatal: failed to remove one or more snapshots`) {
			t.Errorf("%q: messages\n%s", args, messages)
		}
	}
	out, _, code := unprivileged("garner", "forget", "--keep-last", "1")
	if code != 3 || !strings.Contains(out, "0 / 3 files deleted") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
