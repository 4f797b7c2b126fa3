package mount

import (
	"context"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// blob is content for saveBlobs.
type blob struct {
	kind    index.BlobType
	content []byte
}

func treeBlob(b []byte) blob { return blob{index.TreeBlob, b} }
func dataBlob(b []byte) blob { return blob{index.DataBlob, b} }

func (r *testRepo) saveBlobs(t testing.TB, blobs ...blob) (ids []crypto.ID) {
	t.Helper()
	err := r.Write(t.Context(), func(ctx context.Context, w *repo.Writer) error {
		for _, b := range blobs {
			saved, err := w.SaveBlob(ctx, b.kind, b.content)
			if err != nil {
				return err
			}
			ids = append(ids, saved.ID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (r *testRepo) saveSnapshot(t testing.TB, sn *snapshot.Snapshot) *snapshot.Snapshot {
	t.Helper()
	id, err := r.SaveSnapshot(t.Context(), sn)
	if err != nil {
		t.Fatal(err)
	}
	sn.ID = id
	return sn
}

// saveFile makes a snapshot with one file "f" of these pieces.
func (r *testRepo) saveFile(t testing.TB, pieces ...[]byte) *snapshot.Snapshot {
	t.Helper()
	var blobs []blob
	size := 0
	for _, p := range pieces {
		blobs = append(blobs, dataBlob(p))
		size += len(p)
	}
	n := tree.Node{Name: "f", Type: tree.TypeFile, Mode: 0o644, Size: uint64(size), Content: r.saveBlobs(t, blobs...)}
	root := r.saveTree(t, n)
	return r.saveSnapshot(t, &snapshot.Snapshot{Tree: &root})
}
