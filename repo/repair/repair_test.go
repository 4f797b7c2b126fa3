package repair_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/check"
	"github.com/garner-backup/garner/repo/repair"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

func open(t testing.TB, be backend.Backend) *repo.Repo {
	t.Helper()
	r, err := repo.Open(context.Background(), be, "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var when = time.Unix(1_700_000_000, 0)

func fileNode(ctx context.Context, w *repo.Writer, name string, contents ...[]byte) (tree.Node, error) {
	n := tree.Node{Name: name, Type: tree.TypeFile, ModTime: when, AccessTime: when, ChangeTime: when, Content: []crypto.ID{}}
	for _, c := range contents {
		saved, err := w.SaveBlob(ctx, index.DataBlob, c)
		if err != nil {
			return n, err
		}
		n.Content = append(n.Content, saved.ID)
		n.Size += uint64(len(c))
	}
	return n, nil
}

func saveTree(ctx context.Context, r *repo.Repo, w *repo.Writer, nodes ...tree.Node) (crypto.ID, error) {
	b := r.NewTreeBuilder()
	defer b.Close()
	for i := range nodes {
		if err := b.Add(&nodes[i]); err != nil {
			return crypto.ID{}, err
		}
	}
	saved, err := b.Save(ctx, w)
	return saved.ID, err
}

func dirNode(name string, id crypto.ID) tree.Node {
	return tree.Node{Name: name, Type: tree.TypeDir, ModTime: when, AccessTime: when, ChangeTime: when, Subtree: id}
}

// sample is a repository with snapshots "one" and "two", each written with
// packs and an index file of its own. They have the file common, and each a
// folder own with two files, one of them of three blobs.
func sample(t testing.TB, version int) *mem.Backend {
	t.Helper()
	be := mem.New()
	repotest.InitBackend(t, be, "secret", version)
	for i, host := range []string{"one", "two"} {
		r := open(t, be)
		if err := r.LoadIndex(context.Background()); err != nil {
			t.Fatal(err)
		}
		seed := byte(10 * (i + 1))
		var root crypto.ID
		err := r.Write(context.Background(), func(ctx context.Context, w *repo.Writer) error {
			common, err1 := fileNode(ctx, w, "common", repotest.Random(1, 3000))
			large, err2 := fileNode(ctx, w, "large", repotest.Random(seed, 4000), repotest.Random(seed+1, 5000), repotest.Random(seed+2, 600))
			small, err3 := fileNode(ctx, w, "small", repotest.Random(seed+3, 700))
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			own, err := saveTree(ctx, r, w, large, small)
			if err != nil {
				return err
			}
			root, err = saveTree(ctx, r, w, common, dirNode("own", own))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.SaveSnapshot(context.Background(), &snapshot.Snapshot{Time: when, Tree: &root, Hostname: host, Paths: []string{"/"}}); err != nil {
			t.Fatal(err)
		}
	}
	return be
}

// contents returns what can be read: by host of the snapshot and path, the
// hash of each file that is whole. Index files that can't be read are left
// out.
func contents(t testing.TB, be backend.Backend) map[string]crypto.ID {
	t.Helper()
	ctx := context.Background()
	r := open(t, be)
	if _, err := r.LoadIndexFiles(ctx, nil); err != nil {
		t.Fatal(err)
	}
	m := make(map[string]crypto.ID)
	for sn, err := range r.AllSnapshots(ctx) {
		if err != nil || sn.Tree == nil {
			continue
		}
		_ = tree.Walk(ctx, r, *sn.Tree, func(path string, n *tree.Node, err error) error {
			if err != nil || n.Type != tree.TypeFile {
				return nil
			}
			var all []byte
			for _, id := range n.Content {
				b, err := r.LoadBlob(ctx, index.BlobHandle{Type: index.DataBlob, ID: id}, nil)
				if err != nil {
					return nil
				}
				all = append(all, b...)
			}
			m[sn.Hostname+path] = crypto.Hash(all)
			return nil
		})
	}
	return m
}

// put replaces a file, or removes it if b is nil.
func put(t testing.TB, be backend.Backend, h backend.Handle, b []byte) {
	t.Helper()
	if err := be.Remove(context.Background(), h); err != nil && !errors.Is(err, backend.ErrNotExist) {
		t.Fatal(err)
	}
	if b != nil {
		if err := be.Save(context.Background(), h, backend.Bytes(b)); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t testing.TB, be backend.Backend, h backend.Handle) []byte {
	t.Helper()
	b, err := be.Load(context.Background(), h, 0, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}

// packOf returns the pack that holds a blob of this content.
func packOf(t testing.TB, be backend.Backend, h index.BlobHandle) (backend.Handle, index.Location) {
	t.Helper()
	r := open(t, be)
	if err := r.LoadIndex(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := r.Index().Lookup(nil, h)
	if len(l) == 0 {
		t.Fatalf("no pack has %v", h)
	}
	return backend.Handle{Type: backend.PackFile, Name: l[0].Pack.String()}, l[0]
}

func data(seed byte, size int) index.BlobHandle {
	return index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(repotest.Random(seed, size))}
}

// root returns the root of a host's snapshot.
func root(t testing.TB, be backend.Backend, host string) index.BlobHandle {
	t.Helper()
	var f snapshot.Filter
	if host != "" {
		f.Hosts = []string{host}
	}
	list, err := open(t, be).Snapshots(context.Background(), f)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	return index.BlobHandle{Type: index.TreeBlob, ID: *list[0].Tree}
}

func files(t testing.TB, be backend.Backend, typ backend.FileType) []backend.Handle {
	t.Helper()
	var list []backend.Handle
	for fi, err := range be.List(context.Background(), typ) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, backend.Handle{Type: typ, Name: fi.Name})
	}
	slices.SortFunc(list, func(a, b backend.Handle) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// lastBlob returns the blob at the end of the second snapshot's data pack:
// blobs are stored in random order.
func lastBlob(t testing.TB, be backend.Backend) index.BlobHandle {
	t.Helper()
	_, l := packOf(t, be, data(20, 4000))
	r := open(t, be)
	if err := r.LoadIndex(context.Background()); err != nil {
		t.Fatal(err)
	}
	for id, blobs := range r.Index().ByPack() {
		if id == l.Pack {
			return blobs[len(blobs)-1].BlobHandle
		}
	}
	t.Fatal("the pack is not in the index")
	return index.BlobHandle{}
}

// damages are kinds of damage, with the files that are lost for good.
var damages = map[string]struct {
	do     func(t testing.TB, be backend.Backend)
	lost   []string
	lostOf func(last index.BlobHandle) []string // by what lastBlob was
}{
	"none": {do: func(testing.TB, backend.Backend) {}},
	"missing data pack": {do: func(t testing.TB, be backend.Backend) {
		h, _ := packOf(t, be, data(10, 4000))
		put(t, be, h, nil)
	}, lost: []string{"one/common", "two/common", "one/own/large", "one/own/small"}},
	"missing tree pack": {do: func(t testing.TB, be backend.Backend) {
		h, _ := packOf(t, be, root(t, be, "one"))
		put(t, be, h, nil)
	}, lost: []string{"one/common", "one/own/large", "one/own/small"}},
	"pack without its header": {do: func(t testing.TB, be backend.Backend) {
		h, _ := packOf(t, be, data(20, 4000))
		b := get(t, be, h)
		put(t, be, h, b[:len(b)-150])
	}},
	"pack cut off in its last blob": {do: func(t testing.TB, be backend.Backend) {
		h, l := packOf(t, be, lastBlob(t, be))
		b := get(t, be, h)
		put(t, be, h, b[:l.Offset+l.Length/2])
	}, lostOf: func(last index.BlobHandle) []string {
		if last == data(23, 700) {
			return []string{"two/own/small"}
		}
		return []string{"two/own/large"}
	}},
	"bytes behind a pack": {do: func(t testing.TB, be backend.Backend) {
		h, _ := packOf(t, be, data(10, 4000))
		put(t, be, h, append(get(t, be, h), "more"...))
	}},
	"bit rot in a blob": {do: func(t testing.TB, be backend.Backend) {
		h, l := packOf(t, be, data(11, 5000))
		b := get(t, be, h)
		b[l.Offset+100] ^= 4
		put(t, be, h, b)
	}, lost: []string{"one/own/large"}},
	"bit rot in a header": {do: func(t testing.TB, be backend.Backend) {
		h, _ := packOf(t, be, data(10, 4000))
		b := get(t, be, h)
		b[len(b)-30] ^= 4
		put(t, be, h, b)
	}},
	"bit rot in a tree": {do: func(t testing.TB, be backend.Backend) {
		h, l := packOf(t, be, root(t, be, "two"))
		b := get(t, be, h)
		b[l.Offset+20] ^= 4
		put(t, be, h, b)
	}, lost: []string{"two/common", "two/own/large", "two/own/small"}},
	"empty pack": {do: func(t testing.TB, be backend.Backend) {
		h, _ := packOf(t, be, data(20, 4000))
		put(t, be, h, []byte{})
	}, lost: []string{"two/own/large", "two/own/small"}},
	"missing index": {do: func(t testing.TB, be backend.Backend) {
		put(t, be, files(t, be, backend.IndexFile)[0], nil)
	}},
	"no index": {do: func(t testing.TB, be backend.Backend) {
		for _, h := range files(t, be, backend.IndexFile) {
			put(t, be, h, nil)
		}
	}},
	"bit rot in an index": {do: func(t testing.TB, be backend.Backend) {
		h := files(t, be, backend.IndexFile)[0]
		b := get(t, be, h)
		b[len(b)/2] ^= 1
		put(t, be, h, b)
	}},
	"garbage as an index": {do: func(t testing.TB, be backend.Backend) {
		junk := []byte("no index")
		put(t, be, backend.Handle{Type: backend.IndexFile, Name: crypto.Hash(junk).String()}, junk)
	}},
	"index in part": {do: func(t testing.TB, be backend.Backend) { rewrite(t, be, true, 1) }},
	"repeated index": {do: func(t testing.TB, be backend.Backend) {
		rewrite(t, be, true, 1000)
	}},
	"index that lists only a part": {do: func(t testing.TB, be backend.Backend) { rewrite(t, be, false, 1) }},
	"garbage as a pack": {do: func(t testing.TB, be backend.Backend) {
		junk := repotest.Random(99, 5000)
		put(t, be, backend.Handle{Type: backend.PackFile, Name: crypto.Hash(junk).String()}, junk)
	}},
}

// rewrite stores another index file with at most n blobs of each pack of the
// first one, which stays or goes.
func rewrite(t testing.TB, be backend.Backend, stays bool, n int) {
	t.Helper()
	r := open(t, be)
	h := files(t, be, backend.IndexFile)[0]
	id, _ := crypto.ParseID(h.Name)
	json, err := r.LoadUnpacked(context.Background(), backend.IndexFile, id)
	if err != nil {
		t.Fatal(err)
	}
	c := index.NewCollector(time.Now)
	if err := index.Decode(json, func(pack crypto.ID, blobs []index.Blob) error {
		c.Add(pack, blobs[:min(n, len(blobs))])
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SaveUnpacked(context.Background(), backend.IndexFile, c.Take(true)); err != nil {
		t.Fatal(err)
	}
	if !stays {
		put(t, be, h, nil)
	}
}

// repairAll runs what check advises. It stops at the first error.
func repairAll(ctx context.Context, r *repo.Repo, forget bool) error {
	if _, err := repair.Index(ctx, r, nil); err != nil {
		return err
	}
	rep, err := check.Run(ctx, r, &check.Options{SelectPacks: check.AllPacks})
	if err != nil {
		return err
	}
	if broken := rep.BrokenPacks(); len(broken) > 0 {
		if _, err := repair.Packs(ctx, r, broken, nil); err != nil {
			return err
		}
	}
	list, err := r.Snapshots(ctx, snapshot.Filter{})
	if err != nil {
		return err
	}
	plan, err := repair.PlanSnapshots(ctx, r, list, nil)
	if err != nil {
		return err
	}
	return plan.Apply(ctx, &repair.ApplyOptions{Forget: forget})
}

// TestEveryDamageIsRepaired damages a repository in each way and repairs it.
// Nothing is lost but what the damage took, and check finds no error any more.
func TestEveryDamageIsRepaired(t *testing.T) {
	for name, damage := range damages {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, version %d", name, version), func(t *testing.T) {
				be := sample(t, version)
				want := contents(t, be)
				gone := damage.lost
				if damage.lostOf != nil {
					gone = damage.lostOf(lastBlob(t, be))
				}
				damage.do(t, be)
				if err := repairAll(t.Context(), open(t, be), true); err != nil {
					t.Fatal(err)
				}
				got := contents(t, be)
				for path, id := range want {
					if lost := slices.Contains(gone, path); (got[path] == id) == lost {
						t.Errorf("%s: whole: %v, should be lost: %v", path, !lost, lost)
					}
				}
				rep, err := check.Run(t.Context(), open(t, be), &check.Options{SelectPacks: check.AllPacks})
				if err != nil || rep.Errors > 0 {
					t.Errorf("after the repair: %v, %v", rep.Problems, err)
				}
			})
		}
	}
}

type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

func TestPacksAreCopiedBefore(t *testing.T) {
	be := sample(t, 2)
	h, l := packOf(t, be, data(11, 5000))
	b := get(t, be, h)
	b[l.Offset+7] ^= 1
	put(t, be, h, b)
	id, _ := crypto.ParseID(h.Name)
	full := errors.New("no room")
	_, err := repair.Packs(t.Context(), open(t, be), []crypto.ID{id}, &repair.PacksOptions{
		Copy: func(crypto.ID) (io.WriteCloser, error) { return nil, full },
	})
	if !errors.Is(err, full) || !bytes.Equal(get(t, be, h), b) {
		t.Errorf("without a copy: %v", err)
	}
	var copied buffer
	var found []repair.Finding
	res, err := repair.Packs(t.Context(), open(t, be), []crypto.ID{id, id}, &repair.PacksOptions{
		Copy:     func(crypto.ID) (io.WriteCloser, error) { return &copied, nil },
		Observer: &repair.Observer{Found: func(f repair.Finding) { found = append(found, f) }},
	})
	if err != nil || res.Lost != 1 || res.Saved != 4 || !bytes.Equal(copied.Bytes(), b) {
		t.Errorf("%+v, %v, %d bytes copied", res, err, copied.Len())
	}
	if len(found) != 1 || found[0].Kind != repair.LostBlob || found[0].Blob != data(11, 5000) {
		t.Errorf("%+v", found)
	}
	missing := crypto.RandomID()
	if _, err := repair.Packs(t.Context(), open(t, be), []crypto.ID{missing}, nil); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("a pack that is not there: %v", err)
	}
}

func TestRepairedSnapshotsSayWhatTheyAre(t *testing.T) {
	be := sample(t, 2)
	h, _ := packOf(t, be, data(10, 4000))
	put(t, be, h, nil)
	r := open(t, be)
	if _, err := repair.Index(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
	list, err := r.Snapshots(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := repair.PlanSnapshots(t.Context(), r, list, nil)
	if err != nil || plan.Damaged() != 2 {
		t.Fatalf("%d damaged, %v", plan.Damaged(), err)
	}
	if n := len(files(t, be, backend.SnapshotFile)); n != 2 {
		t.Errorf("planning left %d snapshots", n)
	}
	var done []repair.RepairedSnapshot
	if err := plan.Apply(t.Context(), &repair.ApplyOptions{Done: func(s repair.RepairedSnapshot) { done = append(done, s) }}); err != nil {
		t.Fatal(err)
	}
	for _, s := range done {
		sn, err := r.LoadSnapshot(t.Context(), s.New)
		if err != nil || s.Removed || *sn.Original != s.Old.ID || !slices.Equal(sn.Tags, []string{repair.RepairedTag}) || sn.Hostname != s.Old.Hostname || !sn.Time.Equal(s.Old.Time) {
			t.Errorf("%+v, %v", sn, err)
		}
	}
	if n := len(files(t, be, backend.SnapshotFile)); n != 4 || len(done) != 2 {
		t.Errorf("%d snapshots, %d repaired", n, len(done))
	}
	// The new ones are sound, so that with the old ones gone there is nothing
	// left to do.
	list, err = r.Snapshots(t.Context(), snapshot.Filter{Tags: []snapshot.TagList{{repair.RepairedTag}}})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	if plan, err = repair.PlanSnapshots(t.Context(), r, list, nil); err != nil || plan.Damaged() != 0 {
		t.Errorf("%d damaged, %v", plan.Damaged(), err)
	}
}

// TestLargeTreesAreSalvaged repairs a pack with a tree that is too large for
// memory, and a snapshot with a tree of that size that has lost something.
func TestLargeTreesAreSalvaged(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	be := mem.New()
	repotest.InitBackend(t, be, "secret", 2)
	r := open(t, be)
	name := strings.Repeat("long", 60)
	const count = 80_000
	var top, lost crypto.ID
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		b := r.NewTreeBuilder()
		defer b.Close()
		for i := range count {
			n, err := fileNode(ctx, w, fmt.Sprintf("%06d %s", i, name), []byte{byte(i)})
			if err != nil {
				return err
			}
			if err := b.Add(&n); err != nil {
				return err
			}
		}
		if b.Size() < repo.LargeBlob {
			t.Fatalf("a tree of %d bytes is not large", b.Size())
		}
		saved, err := b.Save(ctx, w)
		lost = crypto.Hash([]byte{7})
		top = saved.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SaveSnapshot(t.Context(), &snapshot.Snapshot{Time: when, Tree: &top}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []index.BlobHandle{{Type: index.TreeBlob, ID: top}, {Type: index.DataBlob, ID: lost}} {
		file, l := packOf(t, be, h)
		b := get(t, be, file)
		if h.Type == index.TreeBlob {
			b = b[:len(b)-30] // the header
		} else {
			b[l.Offset+l.Length/2] ^= 1
		}
		put(t, be, file, b)
	}
	if err := repairAll(t.Context(), open(t, be), true); err != nil {
		t.Fatal(err)
	}
	rep, err := check.Run(t.Context(), open(t, be), &check.Options{SelectPacks: check.AllPacks})
	if err != nil || rep.Errors > 0 || rep.Trees != 1 {
		t.Errorf("%+v, %v", rep, err)
	}
	whole, empty := 0, 0
	r = open(t, be)
	if err := r.LoadIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = tree.Walk(t.Context(), r, root(t, be, "").ID, func(_ string, n *tree.Node, err error) error {
		if len(n.Content) == 0 {
			empty++
		} else {
			whole++
		}
		return err
	})
	if err != nil || whole+empty != count || empty != (count+255-7)/256 {
		t.Errorf("%d files are whole and %d are not, %v", whole, empty, err)
	}
}

func TestRecoverFindsWhatNoSnapshotHas(t *testing.T) {
	be := sample(t, 2)
	want := contents(t, be)
	for _, h := range files(t, be, backend.SnapshotFile) {
		put(t, be, h, nil)
	}
	res, err := repair.Recover(t.Context(), open(t, be), &repair.RecoverOptions{Snapshot: snapshot.Snapshot{Hostname: "here", Time: when}})
	if err != nil || len(res.Roots) != 2 || res.Trees != 4 {
		t.Fatalf("%+v, %v", res, err)
	}
	got := contents(t, be)
	if len(got) != len(want) {
		t.Errorf("%d files are recovered, want %d", len(got), len(want))
	}
	for path, id := range want {
		_, rest, _ := strings.Cut(path, "/")
		ok := false
		for _, root := range res.Roots {
			ok = ok || got["here/"+root.Short()+"/"+rest] == id
		}
		if !ok {
			t.Errorf("%s is not recovered", path)
		}
	}
	again, err := repair.Recover(t.Context(), open(t, be), nil)
	if err != nil || len(again.Roots) != 0 || !again.Snapshot.IsZero() {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func Example() {
	ctx := context.Background()
	r, err := repo.Init(ctx, mem.New(), "secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = r.WithLock(ctx, repo.ExclusiveLock, nil, func(ctx context.Context) error {
		// What there is, before the index is loaded.
		list, err := r.Snapshots(ctx, snapshot.Filter{})
		if err != nil {
			return err
		}
		if _, err := repair.Index(ctx, r, nil); err != nil {
			return err
		}
		plan, err := repair.PlanSnapshots(ctx, r, list, nil)
		if err != nil {
			return err
		}
		fmt.Println(plan.Damaged(), "snapshots have lost something")
		return plan.Apply(ctx, nil)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: 0 snapshots have lost something
}
