package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/local"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
)

// saveSnapshots stores snapshots of an empty folder in a new repository.
func saveSnapshots(t *testing.T, list []*snapshot.Snapshot) (dir string) {
	t.Helper()
	dir = newRepository(t, 2)
	be, err := local.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer be.Close()
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		root, err := w.SaveBlob(ctx, index.TreeBlob, []byte("{\"nodes\":[]}\n"))
		for _, sn := range list {
			sn.Tree = &root.ID
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, sn := range list {
		if sn.ID, err = r.SaveSnapshot(t.Context(), sn); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// randomTimes returns times of snapshots, each only once, as different habits
// make them.
func randomTimes(rnd *rand.Rand, n int) []time.Time {
	zones := []*time.Location{time.UTC, time.FixedZone("", 3600), time.FixedZone("", 7200), time.FixedZone("", -8*3600), time.FixedZone("", 5*3600+1800)}
	zone := zones[rnd.IntN(len(zones))]
	// In 2020 there was a week 53; the clocks change in March and October.
	start := time.Date(2018+rnd.IntN(6), time.Month(1+rnd.IntN(12)), 1+rnd.IntN(31), rnd.IntN(24), rnd.IntN(60), rnd.IntN(60), rnd.IntN(1e9), zone)
	step := []time.Duration{13 * time.Minute, time.Hour, 7 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour, 30 * 24 * time.Hour}[rnd.IntN(6)]
	exact := rnd.IntN(3) == 0
	var list []time.Time
	at := start
	for range n {
		at = at.Add(step)
		if !exact {
			at = at.Add(time.Duration(rnd.Int64N(int64(step))))
		}
		if rnd.IntN(10) == 0 { // the machine was off, or moved
			at = at.Add(time.Duration(rnd.IntN(10)) * step).In(zones[rnd.IntN(len(zones))])
		}
		list = append(list, at)
	}
	if rnd.IntN(4) == 0 { // clocks that were wrong
		now := time.Now()
		for i := range list[:rnd.IntN(n)+1] {
			list[i] = now.Add(time.Duration(rnd.Int64N(1e6)) * time.Minute)
		}
	}
	return list
}

// randomSnapshots returns a random set for each of a number of hosts.
func randomSnapshots(rnd *rand.Rand, hosts int) []*snapshot.Snapshot {
	some := func(from ...string) []string {
		rnd.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
		return from[:rnd.IntN(len(from)+1)]
	}
	var list []*snapshot.Snapshot
	for host := range hosts {
		seen := make(map[int64]bool)
		for _, at := range randomTimes(rnd, 1+rnd.IntN(80)) {
			if seen[at.UnixNano()] {
				continue // which of two comes first, restic leaves to chance
			}
			seen[at.UnixNano()] = true
			list = append(list, &snapshot.Snapshot{
				Time: at, Hostname: fmt.Sprintf("host%02d", host), Username: "tester",
				Paths: append(some("/etc", "/var"), "/home"), Tags: some("daily", "manual", "a b"),
			})
		}
	}
	return list
}

// randomPolicy returns flags that make a policy.
func randomPolicy(rnd *rand.Rand) []string {
	var args []string
	for _, name := range []string{"last", "hourly", "daily", "weekly", "monthly", "yearly"} {
		switch rnd.IntN(8) {
		case 0, 1:
			args = append(args, "--keep-"+name, fmt.Sprint(1+rnd.IntN(12)))
		case 2:
			if rnd.IntN(4) == 0 {
				args = append(args, "--keep-"+name, "unlimited")
			}
		}
	}
	for _, name := range []string{"", "-hourly", "-daily", "-weekly", "-monthly", "-yearly"} {
		if rnd.IntN(6) == 0 {
			var d snapshot.Duration
			for _, n := range []*int{&d.Years, &d.Months, &d.Days, &d.Hours} {
				if rnd.IntN(2) == 0 {
					*n = rnd.IntN(40)
				}
			}
			d.Years /= 10
			args = append(args, "--keep-within"+name, d.String())
		}
	}
	if rnd.IntN(5) == 0 {
		args = append(args, "--keep-tag", []string{"daily", "daily,manual", "", "a b", "nope"}[rnd.IntN(5)])
	}
	return args
}

// randomSelection returns flags that say which snapshots, and their groups.
func randomSelection(rnd *rand.Rand) []string {
	args := []string{"--group-by", []string{"host", "host", "host", "host,paths", "host,tags,paths", "", "tags"}[rnd.IntN(7)]}
	if rnd.IntN(4) == 0 {
		args = append(args, "--host", fmt.Sprintf("host%02d", rnd.IntN(16)), "--host", fmt.Sprintf("host%02d", rnd.IntN(16)))
	}
	if rnd.IntN(4) == 0 {
		args = append(args, "--tag", []string{"daily", "daily,manual", "", "nope"}[rnd.IntN(4)])
	}
	if rnd.IntN(4) == 0 {
		args = append(args, "--path", []string{"/home", "/etc"}[rnd.IntN(2)])
	}
	return args
}

// groupsOf returns the groups of forget --json, sorted: restic prints them in
// any order.
func groupsOf(t *testing.T, out string) []string {
	t.Helper()
	if out == "" {
		return nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(out), &raw); err != nil {
		t.Fatalf("%v: %.300s", err, out)
	}
	var groups []string
	for _, g := range raw {
		var b bytes.Buffer
		if err := json.Compact(&b, g); err != nil {
			t.Fatal(err)
		}
		groups = append(groups, b.String())
	}
	slices.Sort(groups)
	return groups
}

// sameForget runs both programs with the same flags and compares their exit
// codes and all that they tell programs.
func sameForget(t *testing.T, g, r *program, args []string) (removed bool) {
	t.Helper()
	args = append([]string{"forget", "--dry-run", "--no-lock", "--json"}, args...)
	have, want := g.run(args...), r.run(args...)
	if have.code != want.code || (have.code != 0) != (have.stderr != "") {
		t.Errorf("%q: exit code %d, restic %d\n%s%s", args, have.code, want.code, have.stderr, want.stderr)
		return false
	}
	a, b := groupsOf(t, have.stdout), groupsOf(t, want.stdout)
	if len(a) != len(b) {
		t.Errorf("%q: %d groups, restic %d", args, len(a), len(b))
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("%q, %s:\n%s", args, g.env[len(g.env)-1], firstDifference(a[i], b[i]))
			return false
		}
	}
	return strings.Contains(want.stdout, `"remove":[`)
}

// firstDifference shows two texts from shortly before they differ.
func firstDifference(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	from := max(0, i-200)
	return fmt.Sprintf("have …%.400s\nwant …%.400s", a[from:], b[from:])
}

// More policies take longer: both programs read all snapshots for each.
var policiesToTry = flag.Int("policies", 30, "how many random policies to compare with restic")

func TestForgetDecidesAsRestic(t *testing.T) {
	t.Parallel()
	policies := *policiesToTry
	if !thorough() {
		policies /= 3
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	list := randomSnapshots(rnd, 16)
	dir := saveSnapshots(t, list)
	g, r := garner(t, dir), restic(t, dir)
	env := g.env
	removed := 0
	for range policies {
		zone := "TZ=" + []string{"UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"}[rnd.IntN(4)]
		g.env = append(slices.Clip(env), zone)
		r.env = g.env
		if sameForget(t, g, r, append(randomPolicy(rnd), randomSelection(rnd)...)) {
			removed++
		}
	}
	if removed < policies/4 {
		t.Errorf("only %d of %d policies removed something", removed, policies)
	}
}

func TestForgetTellsTheSameOfGoldenRepositories(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][][]string{
		"restic-0.14-v1":                  {{"--keep-monthly", "5"}},
		"restic-0.14-v2":                  {{"--keep-daily", "2", "--keep-within-weekly", "1y"}},
		"restic-0.19-v2-migrated-from-v1": {{"--keep-last", "1", "--host", "alpha"}},
		"restic-0.19-keys":                {{"--unsafe-allow-remove-all", "--host", "alpha"}},
		"restic-0.19-v2": {
			{"--keep-last", "1"}, {"--keep-tag", "first", "--keep-within", "1d"}, {"--keep-tag", "nope"}, {"--keep-last", "1", "--host", "nope"}, {},
		},
	} {
		dir := repotest.Golden(t, name)
		g, r := garner(t, dir), restic(t, dir)
		g.env = append(g.env, "RESTIC_PASSWORD="+repotest.GoldenPassword)
		r.env = append(r.env, "RESTIC_PASSWORD="+repotest.GoldenPassword)
		for _, args := range flags {
			sameForget(t, g, r, args)
		}
	}
}

func TestForgetRemovesWhatResticRemoves(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--keep-last", "1", "--prune"}, {"--keep-tag", "first", "--keep-daily", "1"}, {"latest", "--prune", "--max-unused", "0"}} {
		var told []string
		var left []string
		for _, start := range []func(testing.TB, string) *program{garner, restic} {
			p := start(t, repotest.Golden(t, "restic-0.19-v2"))
			p.env = append(p.env, "RESTIC_PASSWORD="+repotest.GoldenPassword)
			told = append(told, p.ok(append([]string{"forget", "--json"}, args...)...))
			left = append(left, p.ok("snapshots", "--json"))
			p.path = repotest.Restic(t)
			p.ok("check", "--read-data")
		}
		if told[0] != told[1] {
			t.Errorf("%q: garner says\n%s\nrestic\n%s", args, told[0], told[1])
		}
		if left[0] != left[1] {
			t.Errorf("%q: %s", args, firstDifference(left[0], left[1]))
		}
	}
}

func TestForgetPassesOverSnapshotsThatCanNotBeRead(t *testing.T) {
	t.Parallel()
	dir := repotest.Golden(t, "restic-0.19-v2")
	files, err := filepath.Glob(filepath.Join(dir, "snapshots", "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("snapshots %q, %v", files, err)
	}
	if err := os.Truncate(files[1], 100); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Base(files[1])[:8]
	g, r := garner(t, dir), restic(t, dir)
	for _, p := range []*program{g, r} {
		p.env = append(p.env, "RESTIC_PASSWORD="+repotest.GoldenPassword)
	}
	for _, args := range [][]string{{"forget", "--dry-run", "--json", "--keep-last", "1"}, {"forget", bad, "--json"}} {
		have, want := g.run(args...), r.run(args...)
		if have.code != 0 || want.code != 0 || have.stdout != want.stdout || !strings.Contains(have.stderr, bad) {
			t.Errorf("%q: exit code %d, restic %d\n%s\n%s%s", args, have.code, want.code, have.stderr, have.stdout, want.stdout)
		}
	}
	if _, err := os.Stat(files[1]); err != nil {
		t.Error(err)
	}
}
