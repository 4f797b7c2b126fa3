package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/local"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
)

// killed runs a command and kills it at a random instant within a time. It
// reports whether that was in time.
func killed(p *program, within time.Duration, args ...string) bool {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(rand.Int64N(int64(within))))
	defer cancel()
	return p.command(ctx, args...).Run() != nil // the end of ctx is SIGKILL
}

func killRounds() int {
	if !thorough() {
		return 3
	}
	return 10
}

// openHere opens a repository within the test.
func openHere(t testing.TB, repository string) *repo.Repo {
	t.Helper()
	be, err := local.Open(repository, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { be.Close() })
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func listHere(t testing.TB, r *repo.Repo) []*snapshot.Snapshot {
	t.Helper()
	list, err := r.Snapshots(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestKilledCopiesLoseNothing kills copies at random instants. After each,
// both programs find the destination whole, and what has arrived stays.
func TestKilledCopiesLoseNothing(t *testing.T) {
	t.Parallel()
	files, from, repository := t.TempDir(), newRepository(t, 2), newRepository(t, 2)
	for round := range 3 {
		for i := range 20 {
			name := filepath.Join(files, fmt.Sprintf("d%d", i%5), fmt.Sprintf("f%d", i))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if round == 0 || i%4 == round {
				if err := os.WriteFile(name, repotest.Random(byte(round*40+i), 700_000), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		garner(t, from).in(files).ok("backup", "-q", ".")
	}
	started := time.Now()
	args := []string{"copy", "--pack-size", "4", "--limit-upload", "10000"} // so that it takes about as long each time
	copying(garner(t, newRepository(t, 2)), from).ok(args...)
	whole := time.Since(started)

	g, r := copying(garner(t, repository), from), restic(t, repository)
	count := 0
	arrived := 0
	for range killRounds() {
		if killed(g, whole, args...) {
			count++
		}
		r.ok("unlock", "--remove-all")
		restic(t, from).ok("unlock", "--remove-all")
		r.ok("check", "--read-data")
		g.ok("check")
		now := len(listHere(t, openHere(t, repository)))
		if now < arrived || now > 3 {
			t.Errorf("%d copies, there were %d", now, arrived)
		}
		arrived = now
	}
	t.Logf("%d copies were killed", count)
	if count == 0 && thorough() {
		t.Error("no copy was killed in time: the test has tested nothing")
	}
	g.ok("copy")
	if out := copying(r, from).ok("copy", "-v"); strings.Count(out, "was already copied") != 3 {
		t.Errorf("restic copies again:\n%s", out)
	}
	r.ok("check", "--read-data")
	repotest.Same(t, repotest.Manifest(t, files, false), restored(t, r))
}

// TestInterruptedCopiesGoOn ends a copy as a user does.
func TestInterruptedCopiesGoOn(t *testing.T) {
	t.Parallel()
	files, from, repository := t.TempDir(), newRepository(t, 2), newRepository(t, 2)
	if err := os.WriteFile(filepath.Join(files, "big"), repotest.Random(1, 60<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	garner(t, from).in(files).ok("backup", "-q", ".")
	g := copying(garner(t, repository), from)
	cmd := g.command(t.Context(), "copy", "--limit-upload", "8000", "--pack-size", "4")
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
	for _, p := range []*program{g, garner(t, from)} {
		if locks := p.ok("list", "locks"); locks != "" {
			t.Errorf("locks are left: %s", locks)
		}
	}
	if snapshots := g.ok("list", "snapshots"); snapshots != "" {
		t.Errorf("a snapshot was saved: %s", snapshots)
	}
	g.ok("check")
	total := strings.Count(garner(t, from).ok("list", "blobs"), "\n")
	arrived := strings.Count(g.ok("list", "blobs"), "\n")
	copied := -1
	if m := regexp.MustCompile(`copy (\d+) blobs`).FindStringSubmatch(g.ok("copy", "-v")); m != nil {
		copied, _ = strconv.Atoi(m[1]) // digits
	}
	if arrived == 0 || copied != total-arrived {
		t.Errorf("of %d blobs %d had arrived, and then %d were copied", total, arrived, copied)
	}
	restic(t, repository).ok("check", "--read-data")
}

// manySnapshots makes a repository with snapshots of a tree at that many
// different times.
func manySnapshots(t testing.TB, count int) string {
	t.Helper()
	repository, _ := snapshotsOfMany(t, 2)
	r := openHere(t, repository)
	list := listHere(t, r)
	for i := len(list); i < count; i++ {
		sn := *list[i%len(list)]
		sn.Time = sn.Time.Add(time.Duration(i) * time.Hour)
		if _, err := r.SaveSnapshot(t.Context(), &sn); err != nil {
			t.Fatal(err)
		}
	}
	return repository
}

// TestKilledChangesLoseNoSnapshot kills commands that replace snapshots. Each
// snapshot, told by its time, is there in its old or its new version.
func TestKilledChangesLoseNoSnapshot(t *testing.T) {
	t.Parallel()
	times := func(list []*snapshot.Snapshot) (out []string) {
		for _, sn := range list {
			out = append(out, sn.Time.UTC().Format(time.RFC3339Nano))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	for name, command := range map[string]func(round int) []string{
		"tag":     func(round int) []string { return []string{"tag", "--add", fmt.Sprint("round", round)} },
		"rewrite": func(round int) []string { return []string{"rewrite", "--forget", "--new-host", fmt.Sprint("h", round)} },
		"exclude": func(round int) []string {
			return []string{"rewrite", "--forget", "-s", "-e", []string{"*.txt", "a", "big", "docs", "void", "*.o", "üñí*", "deep", "with*", "*"}[round]}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repository := manySnapshots(t, 30)
			g, r := garner(t, repository), restic(t, repository)
			before := listHere(t, openHere(t, repository))
			trees := make(map[crypto.ID]bool)
			started := time.Now()
			garner(t, cloned(t, repository)).ok(command(0)...)
			whole := time.Since(started)
			count := 0
			for round := range killRounds() {
				if killed(g, whole, command(round)...) {
					count++
				}
				r.ok("unlock", "--remove-all")
				now := listHere(t, openHere(t, repository))
				if want, got := times(before), times(now); !slices.Equal(want, got) {
					t.Fatalf("%d of %d snapshots are left", len(got), len(want))
				}
				for _, sn := range now {
					trees[*sn.Tree] = true
				}
				r.ok("check")
				g.ok("check")
			}
			t.Logf("%d of %d were killed; %d trees", count, killRounds(), len(trees))
			if count == 0 && thorough() {
				t.Error("no command was killed in time: the test has tested nothing")
			}
			g.ok(command(0)...)
			r.ok("check", "--read-data")
		})
	}
}
