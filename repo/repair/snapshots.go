package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
	"github.com/garner-backup/garner/repo/tree"
)

// RepairedTag marks snapshots that a repair made beside the damaged ones.
const RepairedTag = "repaired"

// SnapshotsOptions say how snapshots are examined; nil is the default.
type SnapshotsOptions struct {
	// Observer is told what is damaged; nil is nobody.
	Observer *Observer
	// Begin, if not nil, is called before each snapshot is examined.
	Begin func(*snapshot.Snapshot)
	// End, if not nil, is called after that.
	End func(SnapshotPlan)
}

// SnapshotPlan says what is to be done about a snapshot.
type SnapshotPlan struct {
	Snapshot *snapshot.Snapshot
	Damaged  bool
	// Lost means that the root can't be read. Nothing is left of such a
	// snapshot, and it is removed.
	Lost bool
}

// SnapshotsPlan is what PlanSnapshots found.
type SnapshotsPlan struct {
	Snapshots []SnapshotPlan // in the order they were given in
	trees     *examiner
}

// PlanSnapshots loads the index and examines the trees of the snapshots, which
// were listed before. It changes nothing. The index must be right: what it
// does not know counts as lost, so Index comes first.
func PlanSnapshots(ctx context.Context, r *repo.Repo, list []*snapshot.Snapshot, opts *SnapshotsOptions) (*SnapshotsPlan, error) {
	if opts == nil {
		opts = &SnapshotsOptions{}
	}
	if err := r.LoadIndex(ctx); err != nil {
		return nil, fmt.Errorf("%w; rebuild the index first", err)
	}
	w := watch(opts.Observer)
	w.phase(PhaseTrees, 0)
	p := &SnapshotsPlan{trees: newExaminer(r, w)}
	for _, sn := range list {
		if opts.Begin != nil {
			opts.Begin(sn)
		}
		var root crypto.ID
		if sn.Tree != nil {
			root = *sn.Tree
		}
		s, err := p.trees.examine(ctx, &place{snapshot: sn.ID}, root)
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", sn.ID.Short(), err)
		}
		plan := SnapshotPlan{Snapshot: sn, Damaged: s != sound, Lost: s == lost}
		p.Snapshots = append(p.Snapshots, plan)
		if opts.End != nil {
			opts.End(plan)
		}
	}
	return p, nil
}

// Damaged returns how many snapshots Apply would change.
func (p *SnapshotsPlan) Damaged() int {
	n := 0
	for _, s := range p.Snapshots {
		if s.Damaged {
			n++
		}
	}
	return n
}

// ApplyOptions say how a plan is applied; nil is the default.
type ApplyOptions struct {
	// Forget removes the damaged snapshots once the new ones are stored.
	// Otherwise they stay, and the new ones are tagged with RepairedTag.
	Forget bool
	// Done, if not nil, is called for each damaged snapshot.
	Done func(RepairedSnapshot)
}

// RepairedSnapshot is what became of a damaged snapshot.
type RepairedSnapshot struct {
	Old *snapshot.Snapshot
	// New is zero if nothing was left of the snapshot. It is the old ID if
	// what was lost could be made anew, like the tree of an empty folder.
	New     crypto.ID
	Removed bool // whether the old one is gone
}

// Apply stores a new snapshot for each damaged one: without the parts of
// files that are lost, and with empty folders for those that can't be read. A
// snapshot whose root can't be read is removed.
//
// All new trees are durable before the first snapshot is stored, and a
// snapshot is stored before the one that it replaces is removed.
func (p *SnapshotsPlan) Apply(ctx context.Context, opts *ApplyOptions) error {
	if opts == nil {
		opts = &ApplyOptions{}
	}
	roots := make(map[crypto.ID]crypto.ID)
	t := &treeRepair{examiner: p.trees, renewed: make(map[crypto.ID]crypto.ID)}
	err := t.repo.Write(ctx, func(ctx context.Context, w *repo.Writer) error {
		t.w = w
		for _, s := range p.Snapshots {
			if !s.Damaged || s.Lost {
				continue
			}
			id, err := t.renew(ctx, *s.Snapshot.Tree)
			if err != nil {
				return fmt.Errorf("snapshot %s: %w", s.Snapshot.ID.Short(), err)
			}
			roots[s.Snapshot.ID] = id
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range p.Snapshots {
		if !s.Damaged {
			continue
		}
		done, err := p.replace(ctx, s, roots[s.Snapshot.ID], opts.Forget)
		if err != nil {
			return fmt.Errorf("snapshot %s: %w", s.Snapshot.ID.Short(), err)
		}
		if opts.Done != nil {
			opts.Done(done)
		}
	}
	return nil
}

// replace stores the new snapshot and removes the old one if it is to go.
func (p *SnapshotsPlan) replace(ctx context.Context, s SnapshotPlan, root crypto.ID, forget bool) (RepairedSnapshot, error) {
	done := RepairedSnapshot{Old: s.Snapshot}
	if !s.Lost && root == *s.Snapshot.Tree {
		done.New = s.Snapshot.ID
		return done, nil
	}
	if !s.Lost {
		sn := *s.Snapshot
		sn.Tree = &root
		sn.Original = &s.Snapshot.ID // its predecessor, not its first version
		if !forget && !slices.Contains(sn.Tags, RepairedTag) {
			sn.Tags = append(slices.Clone(sn.Tags), RepairedTag)
		}
		var err error
		if done.New, err = p.trees.repo.SaveSnapshot(ctx, &sn); err != nil {
			return done, err
		}
	}
	if !s.Lost && !forget {
		return done, nil
	}
	if err := p.trees.repo.Remove(ctx, backend.SnapshotFile, s.Snapshot.ID); err != nil && !errors.Is(err, backend.ErrNotExist) {
		return done, err
	}
	done.Removed = true
	return done, nil
}

// treeRepair makes new trees for damaged ones.
type treeRepair struct {
	*examiner
	w       *repo.Writer
	renewed map[crypto.ID]crypto.ID // old to new
}

// renew returns the ID of the tree that is left of a tree. Sound ones stay as
// they are, byte for byte.
func (t *treeRepair) renew(ctx context.Context, id crypto.ID) (crypto.ID, error) {
	if ordinal, ok := t.view.Ordinal(index.BlobHandle{Type: index.TreeBlob, ID: id}); ok && t.sound.Has(ordinal) {
		return id, nil
	}
	if new, ok := t.renewed[id]; ok {
		return new, nil
	}
	b := t.repo.NewTreeBuilder()
	defer b.Close()
	if t.bad[id] == changed { // else it is lost, and the new one is empty
		if err := t.copyNodes(ctx, id, b); err != nil {
			return crypto.ID{}, err
		}
	}
	saved, err := b.Save(ctx, t.w)
	if err != nil {
		return crypto.ID{}, err
	}
	t.renewed[id] = saved.ID
	return saved.ID, nil
}

// copyNodes adds what is left of a tree's nodes.
func (t *treeRepair) copyNodes(ctx context.Context, id crypto.ID, b *repo.TreeBuilder) error {
	nodes, err := t.repo.LoadTree(ctx, id)
	if err != nil {
		return err
	}
	defer nodes.Close()
	var n tree.Node
	for {
		err := nodes.Next(&n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n.Type == tree.TypeDir {
			n.Subtree, err = t.renew(ctx, n.Subtree)
		} else if err == nil && t.repairNode(nil, &n) == dropped {
			continue
		}
		if err == nil {
			err = b.Add(&n)
		}
		if err != nil {
			return fmt.Errorf("tree %s: %w", id.Short(), err)
		}
	}
}
