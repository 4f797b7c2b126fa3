package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/repo/repotest"
)

// prunable returns a repository with snapshots that share some of their
// content, and what the latest one holds.
func prunable(t *testing.T) (repository string, latest map[string]string) {
	t.Helper()
	src := t.TempDir()
	repository = newRepository(t, 2)
	g := garner(t, repository).in(src)
	for round := range 5 {
		for i := range 24 {
			name := filepath.Join(src, fmt.Sprintf("d%d", i%5), fmt.Sprintf("f%d", i))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if round%(1+i%4) == 0 {
				if err := os.WriteFile(name, repotest.Random(byte(round*24+i), 400_000), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		g.ok("backup", "--pack-size", "4", ".")
	}
	return repository, repotest.Manifest(t, src, false)
}

// copyRepository returns a copy of a repository.
func copyRepository(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "repo")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// killSome runs a command on copies of a repository, kills it at random
// instants until that has succeeded some times, and calls verify with each
// copy.
func killSome(t *testing.T, origin string, args []string, verify func(repository string)) {
	t.Helper()
	started := time.Now()
	garner(t, copyRepository(t, origin)).ok(args...)
	whole := time.Since(started)
	wanted, killed, rounds := 4, 0, 0
	if !thorough() {
		wanted = 2
	}
	for ; killed < wanted && rounds < 10*wanted; rounds++ {
		repository := copyRepository(t, origin)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(whole))))
		if err := garner(t, repository).command(ctx, args...).Run(); err != nil { // the end of ctx is SIGKILL
			killed++
		}
		cancel()
		restic(t, repository).ok("unlock", "--remove-all")
		verify(repository)
	}
	t.Logf("%s: %d of %d were killed", strings.Join(args, " "), killed, rounds)
	if killed < wanted {
		t.Error("too few were killed in time: the test has tested too little")
	}
}

// TestKilledPrunesLoseNothing kills all that deletes. The real restic finds
// the repository whole, the snapshots that were to stay come back unchanged,
// and the next prune finishes the work.
func TestKilledPrunesLoseNothing(t *testing.T) {
	origin, latest := prunable(t)
	forgotten := copyRepository(t, origin)
	garner(t, forgotten).ok("forget", "--keep-last", "2", "--group-by", "")
	marked := copyRepository(t, forgotten)
	garner(t, marked).ok("prune", "--two-phase", "--max-unused", "0")
	for _, tc := range []struct {
		repository string
		args       []string
	}{
		{forgotten, []string{"prune", "--max-unused", "0", "--pack-size", "4"}},
		{origin, []string{"forget", "--keep-last", "2", "--group-by", "", "--prune", "--max-unused", "0"}},
		{origin, []string{"forget", "--keep-last", "1", "--group-by", ""}},
		{forgotten, []string{"prune", "--two-phase", "--max-unused", "0", "--pack-size", "4"}},
		{marked, []string{"prune", "--two-phase", "--grace", "0"}},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			t.Parallel()
			killSome(t, tc.repository, tc.args, func(repository string) {
				r, g := restic(t, repository), garner(t, repository)
				r.ok("check", "--read-data")
				repotest.Same(t, latest, restored(t, r))
				g.ok("prune", "--max-unused", "0")
				var s struct {
					Blobs struct{ Unused, Duplicate int }
				}
				out := g.ok("prune", "--dry-run", "--json")
				if err := json.Unmarshal([]byte(out), &s); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if s.Blobs.Unused+s.Blobs.Duplicate > 0 {
					t.Errorf("left after the next prune: %s", out)
				}
				r.ok("check", "--read-data")
				repotest.Same(t, latest, restored(t, g))
			})
		})
	}
}
