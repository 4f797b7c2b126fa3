package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/local"
	"github.com/garner-backup/garner/repo/pack"
	"github.com/garner-backup/garner/repo/repotest"
)

// victim is a repository on disk that a test damages.
type victim struct {
	t   *testing.T
	dir string
	*repo.Repo
}

func newVictim(t *testing.T, original string) *victim {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	if err := os.CopyFS(dir, os.DirFS(original)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{t: t, dir: dir}
	be, err := local.Open(dir, nil)
	if err == nil {
		v.Repo, err = repo.Open(t.Context(), be, "secret", nil)
	}
	if err == nil {
		err = v.LoadIndex(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// files returns the paths of all files of a type, sorted.
func (v *victim) files(pattern string) []string {
	v.t.Helper()
	list, err := filepath.Glob(filepath.Join(v.dir, filepath.FromSlash(pattern)))
	if err != nil || len(list) == 0 {
		v.t.Fatalf("no %s: %v", pattern, err)
	}
	slices.Sort(list)
	return list
}

// pack returns the path of the largest pack with blobs of a type, and these.
func (v *victim) pack(typ index.BlobType) (string, []index.Blob) {
	v.t.Helper()
	var path string
	var largest []index.Blob
	for id, blobs := range v.Index().ByPack() {
		if blobs[0].Type == typ && (largest == nil || pack.Size(blobs) > pack.Size(largest)) {
			name := id.String()
			path, largest = filepath.Join(v.dir, "data", name[:2], name), slices.Clone(blobs)
		}
	}
	return path, largest
}

// edit changes the bytes of a file.
func (v *victim) edit(path string, change func(b []byte) []byte) {
	v.t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *victim) remove(paths ...string) {
	v.t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			v.t.Fatal(err)
		}
	}
}

// store writes a file under the name that its content has.
func (v *victim) store(folder string, b []byte) {
	v.t.Helper()
	name := crypto.Hash(b).String()
	if folder == "data" {
		folder = filepath.Join(folder, name[:2])
	}
	dir := filepath.Join(v.dir, folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// saveIndex writes an index file with what keep leaves of each pack.
func (v *victim) saveIndex(keep func(pack crypto.ID, blobs []index.Blob) []index.Blob) {
	v.t.Helper()
	c := index.NewCollector(time.Now)
	for id, blobs := range v.Index().ByPack() {
		if blobs = keep(id, blobs); len(blobs) > 0 {
			c.Add(id, blobs)
		}
	}
	if _, err := v.SaveUnpacked(v.t.Context(), backend.IndexFile, c.Take(true)); err != nil {
		v.t.Fatal(err)
	}
}

func flip(at int) func(b []byte) []byte {
	return func(b []byte) []byte {
		b[(at+len(b))%len(b)] ^= 0x10
		return b
	}
}

func cut(n int) func(b []byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }

func all(_ crypto.ID, blobs []index.Blob) []index.Blob { return blobs }

// mixPacks makes one pack of two, with data and trees.
func (v *victim) mixPacks() {
	v.t.Helper()
	key := v.MasterKey()
	b := pack.NewBuilder(key, &pack.Memory{})
	defer b.Close()
	mixed := make(map[crypto.ID]bool)
	for _, typ := range []index.BlobType{index.DataBlob, index.TreeBlob} {
		path, blobs := v.pack(typ)
		content, err := os.ReadFile(path)
		if err != nil {
			v.t.Fatal(err)
		}
		for _, blob := range blobs {
			if err := b.Add(blob, content[blob.Offset:blob.Offset+blob.Length]); err != nil {
				v.t.Fatal(err)
			}
		}
		id, _ := crypto.ParseID(filepath.Base(path))
		mixed[id] = true
		v.remove(path)
	}
	p, err := b.Finish()
	if err != nil {
		v.t.Fatal(err)
	}
	if err := v.Backend().Save(v.t.Context(), backend.Handle{Type: backend.PackFile, Name: p.ID.String()}, p.Content); err != nil {
		v.t.Fatal(err)
	}
	v.remove(v.files("index/*")...)
	v.Index().Add(p.ID, p.Blobs)
	v.saveIndex(func(id crypto.ID, blobs []index.Blob) []index.Blob {
		if mixed[id] {
			return nil
		}
		return blobs
	})
}

// damage is something that happens to a repository.
type damage struct {
	name string
	do   func(v *victim)
	// lost says that a part of the backups is gone for good.
	lost bool
	// stays says that no command mends it.
	stays bool
	// better says that garner saves more than restic.
	better bool
}

var allDamage = []damage{
	{name: "none", do: func(*victim) {}},
	{name: "missing data pack", lost: true, do: func(v *victim) { p, _ := v.pack(index.DataBlob); v.remove(p) }},
	{name: "missing tree pack", lost: true, do: func(v *victim) { p, _ := v.pack(index.TreeBlob); v.remove(p) }},
	{name: "header cut off", do: func(v *victim) { p, _ := v.pack(index.DataBlob); v.edit(p, cut(60)) }},
	{name: "half a pack", lost: true, do: func(v *victim) {
		p, _ := v.pack(index.DataBlob)
		v.edit(p, func(b []byte) []byte { return b[:len(b)/2] })
	}},
	{name: "half a tree pack", lost: true, do: func(v *victim) {
		p, _ := v.pack(index.TreeBlob)
		v.edit(p, func(b []byte) []byte { return b[:len(b)/2] })
	}},
	{name: "empty pack", lost: true, do: func(v *victim) { p, _ := v.pack(index.DataBlob); v.edit(p, func([]byte) []byte { return nil }) }},
	{name: "bytes behind a pack", do: func(v *victim) {
		p, _ := v.pack(index.DataBlob)
		v.edit(p, func(b []byte) []byte { return append(b, "more"...) })
	}},
	{name: "bit rot in data", lost: true, do: func(v *victim) {
		p, blobs := v.pack(index.DataBlob)
		v.edit(p, flip(int(blobs[0].Offset)+30))
	}},
	{name: "bit rot in a tree", lost: true, do: func(v *victim) {
		p, blobs := v.pack(index.TreeBlob)
		v.edit(p, flip(int(blobs[len(blobs)-1].Offset)+30))
	}},
	{name: "bit rot in a header", do: func(v *victim) { p, _ := v.pack(index.DataBlob); v.edit(p, flip(-30)) }},
	{name: "bit rot in a header's length", do: func(v *victim) { p, _ := v.pack(index.DataBlob); v.edit(p, flip(-2)) }},
	{name: "missing index", do: func(v *victim) { v.remove(v.files("index/*")[0]) }},
	{name: "no index", do: func(v *victim) { v.remove(v.files("index/*")...) }},
	{name: "bit rot in an index", do: func(v *victim) { v.edit(v.files("index/*")[0], flip(40)) }},
	{name: "truncated index", do: func(v *victim) { v.edit(v.files("index/*")[1], cut(10)) }},
	{name: "empty index", do: func(v *victim) { v.edit(v.files("index/*")[0], func([]byte) []byte { return nil }) }},
	{name: "garbage as an index", do: func(v *victim) { v.store("index", repotest.Random(8, 100)) }},
	{name: "packs in several indexes", do: func(v *victim) { v.saveIndex(all) }},
	{name: "indexes that disagree", do: func(v *victim) {
		v.saveIndex(func(_ crypto.ID, blobs []index.Blob) []index.Blob { return blobs[:(len(blobs)+1)/2] })
	}},
	{name: "index of a pack in part", do: func(v *victim) {
		v.remove(v.files("index/*")...)
		v.saveIndex(func(_ crypto.ID, blobs []index.Blob) []index.Blob { return blobs[:(len(blobs)+1)/2] })
	}},
	{name: "obsolete index", do: func(v *victim) {
		c := index.NewCollector(time.Now)
		c.Add(crypto.RandomID(), []index.Blob{{BlobHandle: index.BlobHandle{ID: crypto.RandomID()}, Length: 100}})
		if _, err := v.SaveUnpacked(v.t.Context(), backend.IndexFile, c.Take(true)); err != nil {
			v.t.Fatal(err)
		}
	}},
	{name: "mixed pack", do: func(v *victim) { v.mixPacks() }},
	{name: "garbage as a pack", do: func(v *victim) { v.store("data", repotest.Random(9, 3000)) }},
	{name: "empty garbage as a pack", do: func(v *victim) { v.store("data", nil) }},
	{name: "bit rot in a snapshot", stays: true, do: func(v *victim) { v.edit(v.files("snapshots/*")[0], flip(30)) }},
	{name: "garbage as a snapshot", stays: true, do: func(v *victim) { v.store("snapshots", repotest.Random(8, 100)) }},
	{name: "several", lost: true, better: true, do: func(v *victim) {
		p, _ := v.pack(index.DataBlob)
		v.edit(p, cut(100))
		q, _ := v.pack(index.TreeBlob)
		v.remove(q)
		v.edit(v.files("index/*")[0], flip(40))
	}},
}

// checkOf is what check --read-data --json says.
func checkOf(t *testing.T, p *program) (checkSummary, result) {
	t.Helper()
	res := p.run("check", "--read-data", "--json", "--no-cache")
	var s checkSummary
	if err := json.Unmarshal([]byte(res.stdout), &s); err != nil {
		t.Fatalf("%s check says %q: %v\n%s", filepath.Base(p.path), res.stdout, err, res.stderr)
	}
	slices.Sort(s.BrokenPacks)
	return s, res
}

// mend runs the commands that both programs advise, in one order. Copies of
// damaged packs go to a folder of their own.
func mend(t *testing.T, p *program, s checkSummary) {
	t.Helper()
	p.in(t.TempDir())
	if s.SuggestRepairIndex { // the index can't be loaded
		p.ok("repair", "index")
		s, _ = checkOf(t, p)
	}
	if len(s.BrokenPacks) > 0 {
		p.ok(append([]string{"repair", "packs"}, s.BrokenPacks...)...)
	}
	p.ok("repair", "index")
	p.ok("repair", "snapshots", "--forget")
}

// treesIn returns the root trees of all snapshots that can be read, in order.
func treesIn(t *testing.T, dir string) string {
	t.Helper()
	be, err := local.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	var trees []string
	for sn, err := range r.AllSnapshots(t.Context()) {
		if err == nil {
			trees = append(trees, sn.Time.Format(time.RFC3339Nano)+" "+sn.Tree.String())
		}
	}
	slices.Sort(trees)
	return strings.Join(trees, "\n")
}

// backedUp returns a repository with two snapshots that one of the programs
// has written.
func backedUp(t *testing.T, version int, writer string) (repository string) {
	src := filepath.Join(t.TempDir(), "source")
	for name, content := range map[string][]byte{
		"a/one": []byte("first file"), "a/large": repotest.Random(1, 3_000_000), "b/three": repotest.Random(2, 9000), "empty": nil,
	} {
		path := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	repository = newRepository(t, version)
	p := garner(t, repository)
	if writer == "restic" {
		p = restic(t, repository)
	}
	p.in(src).ok("backup", ".")
	if err := os.WriteFile(filepath.Join(src, "b/four"), repotest.Random(3, 5000), 0o644); err != nil {
		t.Fatal(err)
	}
	p.ok("backup", ".")
	return repository
}

// TestDamageMatrix damages repositories of both formats and both writers in
// each way. Garner and restic come to the same verdict, with the same numbers.
// What garner has mended is what it was, or, if something is gone, what the
// real restic makes of it, and restic finds no fault with it.
func TestDamageMatrix(t *testing.T) {
	repotest.Restic(t)
	for _, version := range []int{1, 2} {
		for _, writer := range []string{"restic", "garner"} {
			original := backedUp(t, version, writer)
			for _, d := range allDamage {
				if !thorough() && (version == 1) != (writer == "garner") {
					continue
				}
				t.Run(fmt.Sprintf("format %d by %s, %s", version, writer, d.name), func(t *testing.T) {
					t.Parallel()
					damageAndMend(t, original, d)
				})
			}
		}
	}
}

func damageAndMend(t *testing.T, original string, d damage) {
	v := newVictim(t, original)
	before := treesIn(t, v.dir)
	d.do(v)
	twin := newVictimCopy(t, v.dir)
	g, r := garner(t, v.dir), restic(t, twin)
	got, gres := checkOf(t, g)
	want, rres := checkOf(t, r)
	if gres.code != rres.code || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("check: exit code %d, %+v\nrestic: %d, %+v\n%s\nrestic:\n%s", gres.code, got, rres.code, want, gres.stderr, rres.stderr)
	}
	mend(t, g, got)
	after := treesIn(t, v.dir)
	if lost := after != before; lost != d.lost && !d.stays {
		t.Errorf("lost something: %v, want %v", lost, d.lost)
	}
	if d.lost && !d.better {
		mend(t, r, want)
		if other := treesIn(t, twin); after != other {
			t.Errorf("mended by garner, the snapshots are\n%s\nby restic\n%s", after, other)
		}
	}
	last, lres := checkOf(t, restic(t, v.dir))
	if (lres.code != 0) != d.stays {
		t.Errorf("restic check of what garner mended: exit code %d, %+v\n%s", lres.code, last, lres.stderr)
	}
}

// newVictimCopy returns another copy of a damaged repository.
func newVictimCopy(t *testing.T, damaged string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "twin")
	if err := os.CopyFS(dir, os.DirFS(damaged)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKilledRepairsFinishLater kills each step of a repair at random instants.
// Done again without a kill, they lead to the snapshots that an undisturbed
// repair gives.
func TestKilledRepairsFinishLater(t *testing.T) {
	t.Parallel()
	original := backedUp(t, 2, "garner")
	v := newVictim(t, original)
	path, blobs := v.pack(index.DataBlob)
	v.edit(path, flip(int(blobs[0].Offset)+30))
	v.remove(v.files("index/*")[0])
	id := filepath.Base(path)
	steps := [][]string{{"repair", "index", "--read-all-packs"}, {"repair", "packs", id}, {"repair", "snapshots", "--forget"}}
	whole := newVictimCopy(t, v.dir)
	p := garner(t, whole).in(t.TempDir())
	began := time.Now()
	for _, args := range steps {
		p.ok(args...)
	}
	took := time.Since(began) / time.Duration(len(steps))
	want := treesIn(t, whole)
	for range killRounds() {
		dir := newVictimCopy(t, v.dir)
		for _, args := range steps {
			if p := garner(t, dir).in(t.TempDir()); killed(p, took, args...) {
				p.ok("unlock")
				if res := p.in(t.TempDir()).run(args...); res.code != 0 && !strings.Contains(res.stderr, "does not exist") {
					t.Fatalf("%v after a kill: exit code %d\n%s", args, res.code, res.stderr)
				}
			}
		}
		// A kill between storing a snapshot and removing the old one leaves
		// both, and the next attempt stores the new one again.
		got := strings.Join(slices.Compact(strings.Split(treesIn(t, dir), "\n")), "\n")
		if got != want {
			t.Errorf("after kills:\n%s\nwithout:\n%s", got, want)
		}
		garner(t, dir).ok("check", "--read-data")
	}
}
