package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/garner-backup/garner/repo/repotest"
)

// TestKilledBackupsLoseNothing kills backups at random instants. After each,
// the real restic finds the repository whole, and what was backed up before
// comes back unchanged.
func TestKilledBackupsLoseNothing(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	repository := newRepository(t, 2)
	g, r := garner(t, repository).in(src), restic(t, repository)
	write := func(round int) {
		for i := range 40 {
			name := filepath.Join(src, fmt.Sprintf("d%d", i%7), fmt.Sprintf("f%d", i))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if i%5 == round%5 || round == 0 {
				if err := os.WriteFile(name, repotest.Random(byte(round*40+i), 700_000), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	write(0)
	started := time.Now()
	g.ok("backup", "--tag", "first", ".")
	whole := time.Since(started)
	first := repotest.Manifest(t, src, false)

	killed := 0
	rounds := 12
	if !thorough() {
		rounds = 3
	}
	for round := 1; round <= rounds; round++ {
		write(round)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(whole))))
		cmd := g.command(ctx, "backup", "--pack-size", "4", ".") // the end of ctx is SIGKILL
		if err := cmd.Run(); err != nil {
			killed++
		}
		cancel()
		r.ok("unlock", "--remove-all")
		r.ok("check", "--read-data")
	}
	t.Logf("%d of %d backups were killed", killed, rounds)
	if killed == 0 && thorough() {
		t.Error("no backup was killed in time: the test has tested nothing")
	}
	g.ok("backup", ".")
	g.ok("check", "--read-data")
	repotest.Same(t, repotest.Manifest(t, src, false), restored(t, r))
	target := t.TempDir()
	r.ok("restore", "latest", "--tag", "first", "--target", target)
	repotest.Same(t, first, repotest.Manifest(t, target, false))
}

// TestInterruptedBackupsGoOn ends backups as a user does, and looks at what
// is left behind.
func TestInterruptedBackupsGoOn(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	repository := newRepository(t, 2)
	if err := os.WriteFile(filepath.Join(src, "big"), repotest.Random(1, 150<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	g := garner(t, repository).in(src)
	cmd := g.command(t.Context(), "backup", "--limit-upload", "20000", "--pack-size", "4", ".")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !hasPacks(repository, 3) {
		time.Sleep(20 * time.Millisecond)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	if locks := g.ok("list", "locks"); locks != "" {
		t.Errorf("locks are left: %s", locks)
	}
	if snapshots := g.ok("list", "snapshots"); snapshots != "" {
		t.Errorf("a snapshot was saved: %s", snapshots)
	}
	g.ok("check")
	s := summaryOf(t, g.ok("backup", "--json", "."))
	if s.DataAdded >= 145<<20 {
		t.Errorf("the second attempt added %d bytes: it found nothing of the first", s.DataAdded)
	}
}

// hasPacks reports whether the repository has at least n packs.
func hasPacks(repository string, n int) bool {
	packs, _ := filepath.Glob(filepath.Join(repository, "data", "*", "*"))
	return len(packs) >= n
}
