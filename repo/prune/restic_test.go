package prune_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend/local"
	"github.com/garner-backup/garner/repo/prune"
	"github.com/garner-backup/garner/repo/repotest"
)

// resticRepo drives the real restic on a local repository.
type resticRepo struct {
	bin, dir string
}

func (p *resticRepo) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(p.bin, append([]string{"-r", p.dir, "--no-cache"}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+password)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("restic %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (p *resticRepo) open(t *testing.T) *repo.Repo {
	t.Helper()
	be, err := local.Open(p.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, be, nil)
}

// newResticRepo makes a repository with packs of many kinds: used, used in
// part, unused, small, not compressed, with trees.
func newResticRepo(t *testing.T, version int) *resticRepo {
	t.Helper()
	p := &resticRepo{bin: repotest.Restic(t), dir: filepath.Join(t.TempDir(), "repo")}
	repotest.Init(t, p.dir, password, version)
	src := t.TempDir()
	for i := range 14 {
		for f := range 3 {
			if i%(f+1) != 0 {
				continue
			}
			data := repotest.Random(byte(i*3+f), 700_000*(f+1)+10_000*i)
			if err := os.WriteFile(filepath.Join(src, fmt.Sprint("f", f)), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		compression := "auto"
		if i%5 == 1 {
			compression = "off"
		}
		p.run(t, "backup", "--pack-size", "4", "--compression", compression, src)
	}
	p.run(t, "forget", "--keep-last", "6")
	return p
}

// parseDecisions reads the two lists of packs that a dry run shows.
func parseDecisions(t *testing.T, out string) (repack, remove []string) {
	t.Helper()
	list := func(title string) []string {
		_, rest, ok := strings.Cut(out, title)
		if !ok {
			t.Fatalf("no %q in:\n%s", title, out)
		}
		_, rest, _ = strings.Cut(rest, "{")
		inner, _, _ := strings.Cut(rest, "}")
		ids := strings.Fields(inner)
		slices.Sort(ids)
		return ids
	}
	return list("repacked and removed the following packs:"), list("removed the following no longer used packs:")
}

func short(ids []crypto.ID) []string {
	list := []string{}
	for _, id := range ids {
		list = append(list, id.Short())
	}
	slices.Sort(list)
	return list
}

// TestDecisionsAreRestics compares what both would do with each pack.
func TestDecisionsAreRestics(t *testing.T) {
	for _, version := range []int{1, 2} {
		p := newResticRepo(t, version)
		for _, tc := range []struct {
			args []string
			opts *prune.Options
		}{
			{nil, nil},
			{[]string{"--max-unused", "0"}, everything()},
			{[]string{"--max-unused", "unlimited"}, &prune.Options{MaxUnused: prune.UnusedUnlimited()}},
			{[]string{"--max-unused", "30%"}, &prune.Options{MaxUnused: prune.UnusedPercent(30)}},
			{[]string{"--max-unused", "2M"}, &prune.Options{MaxUnused: prune.UnusedBytes(2 << 20)}},
			{[]string{"--repack-cacheable-only"}, &prune.Options{CacheableOnly: true}},
			{[]string{"--repack-smaller-than", "4M"}, &prune.Options{SmallerThan: 4 << 20}},
			{[]string{"--repack-smaller-than", "1M", "--max-unused", "unlimited"}, &prune.Options{SmallerThan: 1 << 20, MaxUnused: prune.UnusedUnlimited()}},
			{[]string{"--max-repack-size", "0"}, &prune.Options{MaxRepack: prune.NoRepack}},
			{[]string{"--repack-uncompressed"}, &prune.Options{Uncompressed: true}},
		} {
			t.Run(fmt.Sprint(version, tc.args), func(t *testing.T) {
				if version == 1 && slices.Contains(tc.args, "--repack-uncompressed") {
					t.Skip("version 1 has no compression")
				}
				out := p.run(t, append([]string{"prune", "--dry-run", "-vv"}, tc.args...)...)
				wantRepack, wantRemove := parseDecisions(t, out)
				plan, err := prune.NewPlan(t.Context(), p.open(t), tc.opts)
				if err != nil {
					t.Fatal(err)
				}
				if got := short(plan.Repacks()); !slices.Equal(got, wantRepack) {
					t.Errorf("repack %v\nrestic %v", got, wantRepack)
				}
				if got := short(plan.Removes()); !slices.Equal(got, wantRemove) {
					t.Errorf("remove %v\nrestic %v", got, wantRemove)
				}
				if t.Failed() {
					t.Logf("stats %+v\n%s", plan.Stats(), out)
				}
			})
		}
	}
}

// TestResticAcceptsPrunedRepository prunes and lets restic look: at every
// byte, and for something that would be left to prune.
func TestResticAcceptsPrunedRepository(t *testing.T) {
	p := newResticRepo(t, 2)
	before := p.run(t, "ls", "--recursive", "latest")
	if err := apply(t.Context(), p.open(t), everything()); err != nil {
		t.Fatal(err)
	}
	p.run(t, "check", "--read-data")
	repack, remove := parseDecisions(t, p.run(t, "prune", "--dry-run", "-vv", "--max-unused", "0"))
	if len(repack)+len(remove) > 0 {
		t.Errorf("restic would repack %v and remove %v", repack, remove)
	}
	if after := p.run(t, "ls", "--recursive", "latest"); after != before {
		t.Error("the latest snapshot lists other files")
	}
}

// TestTwoPhaseWithResticAsClient lets the real restic make backups all the
// while. Files come and go and come back, so that backups need what was
// marked. In the end restic reads everything.
func TestTwoPhaseWithResticAsClient(t *testing.T) {
	p := &resticRepo{bin: repotest.Restic(t), dir: filepath.Join(t.TempDir(), "repo")}
	repotest.Init(t, p.dir, password, 2)
	src := t.TempDir()
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	write := func(round int) {
		for f := range 8 {
			// Each file alternates between few contents, each at its own pace.
			seed := f*10 + round/(1+f%3)%2
			if err := os.WriteFile(filepath.Join(src, fmt.Sprint("f", f)), repotest.Random(byte(seed), 1_500_000), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var total prune.SweepStats
	phases := 0
	for round := range rounds {
		write(round)
		backup := make(chan struct{})
		go func() {
			defer close(backup)
			cmd := exec.Command(p.bin, "-r", p.dir, "--no-cache", "backup", "--retry-lock", "1m", "--force", "--limit-upload", "20000", "--pack-size", "4", src)
			cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+password)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("restic backup: %v\n%s", err, out)
			}
		}()
		for running := true; running; {
			var stats prune.SweepStats
			be, err := local.Open(p.dir, nil)
			if err == nil {
				err = twoPhaseActor(&stats)(t.Context(), be)
			}
			if err != nil {
				t.Fatal(err)
			}
			phases++
			total.Deleted += stats.Deleted
			total.Spared += stats.Spared
			select {
			case <-backup:
				running = false
			default:
			}
		}
		p.run(t, "forget", "--keep-last", "1", "--group-by", "")
	}
	p.run(t, "check", "--read-data")
	target := t.TempDir()
	p.run(t, "restore", "latest", "--target", target)
	repotest.Same(t, repotest.Manifest(t, src, true), repotest.Manifest(t, filepath.Join(target, src), true))
	t.Logf("%d calls, %d packs deleted, %d spared", phases, total.Deleted, total.Spared)
	if total.Deleted == 0 {
		t.Error("nothing was ever deleted")
	}
}
