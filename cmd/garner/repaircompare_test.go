//go:build linux

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// TestCheckSaysWhatResticSays compares the messages for programs and the exit
// codes for all flags of check.
func TestCheckSaysWhatResticSays(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]func(*victim){
		"sound":   func(*victim) {},
		"damaged": func(v *victim) { p, _ := v.pack(index.DataBlob); v.edit(p, cut(10)) },
	} {
		v := newVictim(t, backedUp(t, 2, "restic"))
		d(v)
		p := newPeers(t, v.dir)
		for _, args := range [][]string{
			{}, {"--read-data"}, {"--read-data-subset", "1/1"}, {"--read-data-subset", "100%"}, {"--read-data-subset", "1T"},
			{"--with-cache"}, {"--check-unused"}, {"--no-lock"}, {"latest"}, {"--host", "nobody"}, {"--tag", "none"}, {"--path", "/nowhere"},
			{"--read-data-subset", "0/2"}, {"--read-data-subset", "3/2"}, {"--read-data-subset", "1/300"}, {"--read-data-subset", "0%"},
			{"--read-data-subset", "101%"}, {"--read-data-subset", "x"}, {"--read-data-subset", "1/2/3"}, {"--read-data-subset", "1.5/2"},
			{"--read-data-subset", "-1M"}, {"--read-data", "--read-data-subset", "1/2"},
		} {
			t.Logf("%s: check %v", name, args)
			p.sameJSON(t, append([]string{"check"}, args...)...)
		}
		// Restic counts a snapshot that is not there twice.
		for _, args := range [][]string{{"ffffffff"}, {"--host", "nobody", "latest"}, {"latest", "ffffffff"}} {
			p.sameCode(t, append([]string{"check"}, args...)...)
		}
	}
}

// oddTrees stores a snapshot whose trees have every flaw that repair takes
// out of them, and one that is beyond repair.
func oddTrees(v *victim) {
	v.t.Helper()
	when := time.Unix(1_700_000_000, 0).UTC()
	node := func(name string, typ tree.NodeType) tree.Node {
		return tree.Node{Name: name, Type: typ, Mode: 0o644, ModTime: when, AccessTime: when, ChangeTime: when}
	}
	var root, lost crypto.ID
	err := v.Write(v.t.Context(), func(ctx context.Context, w *repo.Writer) error {
		save := func(nodes ...tree.Node) crypto.ID {
			b := v.NewTreeBuilder()
			defer b.Close()
			for i := range nodes {
				if err := b.Add(&nodes[i]); err != nil {
					v.t.Fatal(err)
				}
			}
			saved, err := b.Save(ctx, w)
			if err != nil {
				v.t.Fatal(err)
			}
			return saved.ID
		}
		dir := func(name string, id crypto.ID) tree.Node {
			n := node(name, tree.TypeDir)
			n.Subtree = id
			return n
		}
		content, err := w.SaveBlob(ctx, index.DataBlob, repotest.Random(5, 1234))
		if err != nil {
			return err
		}
		file := func(name string, size uint64, ids ...crypto.ID) tree.Node {
			n := node(name, tree.TypeFile)
			n.Size, n.Content = size, append([]crypto.ID{}, ids...)
			return n
		}
		noList := node("c no list", tree.TypeFile)
		sub := save(
			file("a sound", 1234, content.ID),
			file("b wrong size", 99, content.ID),
			noList,
			file("d lost in part", 3000, crypto.Hash([]byte("x")), content.ID, crypto.Hash([]byte("y"))),
			file("e lost", 10, crypto.Hash([]byte("z"))),
			file("f empty", 0),
			node("g irregular", tree.TypeIrregular),
			node("h no type", ""),
			node("i fifo", tree.TypeFifo),
		)
		sound := save(file("whole", 1234, content.ID))
		root = save(dir("a", sub), dir("b again", sub), dir("c lost", crypto.Hash([]byte("lost"))), dir("d none", crypto.ID{}),
			dir("e empty", save()), dir("f sound", sound), dir("g deep", save(dir("deeper", save(dir("deepest", sub))))))
		lost = crypto.Hash([]byte("lost root"))
		return nil
	})
	if err != nil {
		v.t.Fatal(err)
	}
	for i, id := range []crypto.ID{root, lost} {
		if _, err := v.SaveSnapshot(v.t.Context(), &snapshot.Snapshot{Time: when.Add(time.Duration(i) * time.Hour), Tree: &id,
			Hostname: "odd", Paths: []string{"/"}, Tags: []string{"one"}}); err != nil {
			v.t.Fatal(err)
		}
	}
}

// TestOddTreesAreRepairedAsResticDoes compares the trees that both programs
// make of trees with every flaw.
func TestOddTreesAreRepairedAsResticDoes(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		v := newVictim(t, backedUp(t, version, "restic"))
		oddTrees(v)
		twin := newVictimCopy(t, v.dir)
		g, r := newPeers(t, v.dir).garner, newPeers(t, twin).restic
		before := treesIn(t, v.dir)
		for _, args := range [][]string{{"-n"}, {"-n", "--forget"}, {"--host", "nobody"}} {
			g.ok(append([]string{"repair", "snapshots"}, args...)...)
			r.ok(append([]string{"repair", "snapshots"}, args...)...)
		}
		if treesIn(t, v.dir) != before {
			t.Fatal("a dry run changed snapshots")
		}
		for _, args := range [][]string{{"--tag", "one"}, {"--forget"}} {
			g.ok(append([]string{"repair", "snapshots"}, args...)...)
			r.ok(append([]string{"repair", "snapshots"}, args...)...)
			if got, want := treesIn(t, v.dir), treesIn(t, twin); got != want {
				t.Errorf("%v: garner leaves\n%s\nrestic\n%s", args, got, want)
			}
			fields := newPeers(t, v.dir).ignoring("id", "short_id")
			fields.restic = newPeers(t, twin).restic
			fields.anyOrder().sameJSON(t, "snapshots")
		}
		newPeers(t, v.dir).restic.ok("check", "--read-data")
		g.ok("check", "--read-data")
	}
}

// TestBackupHealsSnapshots stores what was lost again.
func TestBackupHealsSnapshots(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	repository := newRepository(t, 2)
	garner(t, repository).in(src).ok("backup", ".")
	v := newVictim(t, repository)
	p, _ := v.pack(index.DataBlob)
	v.remove(p)
	g := garner(t, v.dir).in(src)
	before := treesIn(t, v.dir)
	g.ok("repair", "index")
	if g.run("check").code != 1 {
		t.Error("nothing is lost")
	}
	g.ok("backup", "--force", ".")
	out := g.ok("repair", "snapshots")
	if !strings.Contains(out, "no snapshots were modified") {
		t.Error(out)
	}
	if after := treesIn(t, v.dir); !strings.HasPrefix(after, before) {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
	restic(t, v.dir).ok("check", "--read-data")
	repotest.Same(t, sourceManifest(t, src), restored(t, g))
}

// TestRecoverFindsWhatResticFinds removes the one snapshot there is.
func TestRecoverFindsWhatResticFinds(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	repository := newRepository(t, 2)
	restic(t, repository).in(src).ok("backup", ".")
	v := newVictim(t, repository)
	v.remove(v.files("snapshots/*")...)
	twin := newVictimCopy(t, v.dir)
	g, r := garner(t, v.dir), restic(t, twin)
	g.ok("recover")
	r.ok("recover")
	list := func(p *program) string {
		_, list, _ := strings.Cut(p.ok("ls", "latest"), "\n")
		return list
	}
	if got, want := list(g), list(r); got != want || got == "" {
		t.Errorf("garner recovers\n%s\nrestic\n%s", got, want)
	}
	restic(t, v.dir).ok("check", "--read-data")
	for _, p := range []*program{g, r} {
		if out := p.ok("snapshots", "--tag", "recovered", "--path", "/recover"); !strings.Contains(out, "1 snapshots") {
			t.Error(out)
		}
	}
	// What is restored is what was backed up, below the folder that is named
	// for the tree.
	target := t.TempDir()
	restic(t, v.dir).ok("restore", "latest", "--target", target)
	dirs, err := filepath.Glob(filepath.Join(target, "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v, %v", dirs, err)
	}
	repotest.Same(t, sourceManifest(t, src), repotest.Manifest(t, dirs[0], false))
}

// TestUpgradedRepositoriesAreOfFormat2 upgrades with garner and goes on with
// restic of the present and of the past, and compares what both programs say
// to all arguments of migrate.
func TestUpgradedRepositoriesAreOfFormat2(t *testing.T) {
	t.Parallel()
	src := makeTree(t)
	repository := newRepository(t, 1)
	g := garner(t, repository).in(src)
	g.ok("backup", ".")
	want := sourceManifest(t, src)
	damaged := newVictim(t, repository)
	p, _ := damaged.pack(index.DataBlob)
	damaged.remove(p)
	bad := newPeers(t, damaged.dir)
	if res := bad.sameCode(t, "migrate", "upgrade_repo_v2"); res.code != 1 {
		t.Errorf("a damaged repository was upgraded:\n%s", res.stdout)
	}
	peers := newPeers(t, repository)
	for _, args := range [][]string{{}, {"nothing"}, {"s3_layout"}} {
		peers.sameCode(t, append([]string{"migrate"}, args...)...)
	}
	g.ok("migrate", "upgrade_repo_v2")
	for _, args := range [][]string{{}, {"upgrade_repo_v2"}, {"-f", "upgrade_repo_v2"}} {
		peers.sameCode(t, append([]string{"migrate"}, args...)...)
	}
	for _, q := range []*program{restic(t, repository), oldRestic(t, repository), g} {
		q.in(src)
		q.ok("check", "--read-data")
		if err := os.WriteFile(filepath.Join(src, "x", "new"), []byte(filepath.Base(q.path)), 0o644); err != nil {
			t.Fatal(err)
		}
		q.ok("backup", ".")
	}
	restic(t, repository).ok("check", "--read-data")
	g.ok("check", "--read-data")
	delete(want, "x/new")
	target := t.TempDir()
	var oldest []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(g.ok("snapshots", "--json")), &oldest); err != nil {
		t.Fatal(err)
	}
	restic(t, repository).ok("restore", oldest[0].ID, "--target", target)
	repotest.Same(t, want, repotest.Manifest(t, target, false))
}
