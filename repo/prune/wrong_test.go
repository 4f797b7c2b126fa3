package prune_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/backend/layer"
	"github.com/garner-backup/garner/repo/backend/mem"
	"github.com/garner-backup/garner/repo/pack"
	"github.com/garner-backup/garner/repo/prune"
	"github.com/garner-backup/garner/repo/repotest"
	"github.com/garner-backup/garner/repo/snapshot"
)

// savePack stores a pack whose header says what listed says, whatever the
// contents are, and returns its blobs.
func savePack(t *testing.T, r *repo.Repo, listed []crypto.ID, contents [][]byte) (crypto.ID, []index.Blob) {
	t.Helper()
	b := pack.NewBuilder(r.MasterKey(), new(pack.Memory))
	defer b.Close()
	for i, content := range contents {
		if err := b.Add(index.Blob{BlobHandle: index.BlobHandle{Type: index.DataBlob, ID: listed[i]}}, r.MasterKey().Seal(nil, content)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Finish()
	if err == nil {
		err = r.Backend().Save(t.Context(), backend.Handle{Type: backend.PackFile, Name: p.ID.String()}, p.Content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.ID, p.Blobs
}

// saveIndexFile stores an index file for one pack.
func saveIndexFile(t *testing.T, r *repo.Repo, id crypto.ID, blobs []index.Blob) {
	t.Helper()
	c := index.NewCollector(func() (now time.Time) { return now })
	c.Add(id, blobs)
	if _, err := r.SaveIndex(t.Context(), c.Take(true)); err != nil {
		t.Fatal(err)
	}
}

// raw opens a repository that stores data as it is, so that blobs of equal
// content lengths have equal stored lengths and stay sealed when they are
// copied.
func raw(t *testing.T, be backend.Backend) *repo.Repo {
	return open(t, be, &repo.Options{Compression: repo.CompressionOff})
}

// fileOf saves a snapshot of one file with these blobs.
func fileOf(t *testing.T, r *repo.Repo, ids ...crypto.ID) {
	t.Helper()
	f := repotest.File("f", 0, ids...)
	var root crypto.ID
	repotest.Build(t, r, func(b *repotest.Builder) { root = b.Tree(f) })
	if _, err := r.SaveSnapshot(t.Context(), &snapshot.Snapshot{Time: time.Unix(1_700_000_000, 0), Tree: &root, Paths: []string{"/f"}}); err != nil {
		t.Fatal(err)
	}
}

// TestPruneDoesNotBelieveAWrongIndex swaps two blobs in the index. The header
// of the pack is right, so the repository can be healed; a prune must not put
// the mistake into the header of a new pack.
func TestPruneDoesNotBelieveAWrongIndex(t *testing.T) {
	for _, twoPhase := range []bool{false, true} {
		be := mem.New()
		repotest.InitBackend(t, be, password, 2)
		r := raw(t, be)
		contents := [][]byte{bytes.Repeat([]byte("a"), 900), bytes.Repeat([]byte("b"), 900), bytes.Repeat([]byte("c"), 900)}
		ids := []crypto.ID{crypto.Hash(contents[0]), crypto.Hash(contents[1]), crypto.Hash(contents[2])}
		id, blobs := savePack(t, r, ids, contents)
		swapped := slices.Clone(blobs)
		swapped[0].ID, swapped[1].ID = blobs[1].ID, blobs[0].ID
		saveIndexFile(t, r, id, swapped)
		r = raw(t, be)
		fileOf(t, r, ids[0], ids[1])

		before := files(t, be)
		var err error
		if twoPhase {
			err = prune.TwoPhase(t.Context(), raw(t, be), &prune.TwoPhaseOptions{Prune: everything(), Grace: -1})
		} else {
			err = apply(t.Context(), raw(t, be), everything())
		}
		var damage *prune.DamageError
		if !errors.As(err, &damage) || !strings.Contains(err.Error(), "--read-all-packs") {
			t.Errorf("two phases %v: %v", twoPhase, err)
		}
		after := files(t, be)
		for _, f := range before {
			if !slices.Contains(after, f) {
				t.Errorf("two phases %v: %s was deleted", twoPhase, f)
			}
		}
	}
}

// TestPruneKeepsTheGoodOneOfTwoCopies has a blob twice, once with a wrong
// content that was sealed as it is.
func TestPruneKeepsTheGoodOneOfTwoCopies(t *testing.T) {
	for try := range 6 { // which of the two is chosen depends on the packs' names
		be := mem.New()
		repotest.InitBackend(t, be, password, 2)
		r := raw(t, be)
		good, bad, unused := bytes.Repeat([]byte("g"), 900), bytes.Repeat([]byte("x"), 900), repotest.Random(byte(try), 900)
		h := index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(good)}
		other := bytes.Repeat([]byte("o"), 700)
		for _, content := range [][]byte{bad, good} {
			id, blobs := savePack(t, r, []crypto.ID{h.ID, crypto.Hash(other), crypto.Hash(unused)}, [][]byte{content, other, unused})
			saveIndexFile(t, r, id, blobs)
			other = bytes.Repeat([]byte("p"), 700)
		}
		r = raw(t, be)
		fileOf(t, r, h.ID, crypto.Hash(bytes.Repeat([]byte("o"), 700)), crypto.Hash(other))
		if err := apply(t.Context(), raw(t, be), everything()); err != nil {
			t.Fatal(err)
		}
		if got, err := raw(t, be).LoadBlob(t.Context(), h, nil); err != nil || !bytes.Equal(got, good) {
			t.Errorf("try %d: %v", try, err)
		}
	}
}

// TestPruneStopsWhenTheLockIsLost takes the lock away after a few deletions.
func TestPruneStopsWhenTheLockIsLost(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 8)
	forget(t, open(t, be, nil), ids[:6]...)
	thief := open(t, be, nil)
	var removed atomic.Int64
	var r *repo.Repo
	r = open(t, layer.Observe(be, func(e layer.Event) {
		if e.Op == layer.OpRemove && e.Handle.Type == backend.PackFile {
			if removed.Add(1) == 1 {
				if _, err := thief.RemoveAllLocks(context.Background()); err != nil {
					t.Error(err)
				}
				// A look at the lock is good for some seconds; storing an index file looks anew.
				if _, err := r.SaveIndex(context.Background(), []byte(`{"packs":[]}`)); !errors.Is(err, repo.ErrLockLost) {
					t.Errorf("an index file without a lock: %v", err)
				}
			}
		}
	}), nil)
	err := apply(t.Context(), r, everything())
	if !errors.Is(err, repo.ErrLockLost) {
		t.Errorf("got %v", err)
	}
	mustCheck(t, be, 2)
}

// TestUnsafeRecoveryInterruptedWritesTheIndex cancels at the first deletion
// of a pack, when the index is in memory only.
func TestUnsafeRecoveryInterruptedWritesTheIndex(t *testing.T) {
	be := mem.New()
	repotest.InitBackend(t, be, password, 2)
	ids := makeHistory(t, be, 4)
	forget(t, open(t, be, nil), ids[0])
	ctx, cancel := context.WithCancel(t.Context())
	r := open(t, layer.Observe(be, func(e layer.Event) {
		if e.Op == layer.OpRemove && e.Handle.Type == backend.PackFile {
			cancel()
		}
	}), nil)
	if err := apply(ctx, r, &prune.Options{UnsafeRecovery: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	mustCheck(t, be, 3)
}
