// Package forget removes snapshots: those that a policy does not keep, or
// those that the caller chose.
//
// [NewPlan] decides, and [Plan.Apply] removes. Only the snapshots themselves
// go; the data that nobody refers to any more stays until it is pruned. The
// arithmetic of policies is in package snapshot.
package forget

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/snapshot"
)

// Options say how a policy is applied; nil is the default.
type Options struct {
	// GroupBy says which snapshots form a group, to each of which the
	// policy applies by itself. The zero value is one group of all.
	GroupBy snapshot.Grouping
	// AllowRemoveAll makes an empty policy remove all snapshots of the
	// list, instead of being an error. It does not allow a policy that has
	// rules to leave a group without a snapshot.
	AllowRemoveAll bool
	// Now is the time by which snapshots are in the future; zero is the
	// time when the plan is made.
	Now time.Time
}

// ErrNoPolicy means that a policy has no rule, so that nothing would stay.
var ErrNoPolicy = errors.New("no policy was specified, no snapshots will be removed")

// LastSnapshotError means that a policy would remove all snapshots of a group,
// which is more likely a mistake than a wish. Nothing is removed then.
type LastSnapshotError struct {
	Key   snapshot.GroupKey
	Count int // how many snapshots the group has
}

func (e *LastSnapshotError) Error() string {
	return fmt.Sprintf("refusing to delete last snapshot of snapshot group %q: the policy keeps none of its %d snapshots", describe(&e.Key), e.Count)
}

func describe(k *snapshot.GroupKey) string {
	var parts []string
	if k.Hostname != "" {
		parts = append(parts, "host "+k.Hostname)
	}
	if len(k.Paths) > 0 {
		parts = append(parts, "paths ["+strings.Join(k.Paths, ", ")+"]")
	}
	if len(k.Tags) > 0 {
		parts = append(parts, "tags ["+strings.Join(k.Tags, ", ")+"]")
	}
	return strings.Join(parts, ", ")
}

// Group is what a policy says about the snapshots of a group.
type Group struct {
	Key       snapshot.GroupKey
	Decisions []snapshot.Decision // the newest snapshot first
}

// Keep returns the snapshots that stay, the newest first.
func (g *Group) Keep() []*snapshot.Snapshot { return g.list(true) }

// Remove returns the snapshots that go, the newest first.
func (g *Group) Remove() []*snapshot.Snapshot { return g.list(false) }

func (g *Group) list(keep bool) []*snapshot.Snapshot {
	var list []*snapshot.Snapshot
	for i := range g.Decisions {
		if g.Decisions[i].Keep() == keep {
			list = append(list, g.Decisions[i].Snapshot)
		}
	}
	return list
}

// Reasons returns why the snapshots stay, in the order of Keep.
func (g *Group) Reasons() []snapshot.Reason {
	var list []snapshot.Reason
	for i := range g.Decisions {
		if g.Decisions[i].Keep() {
			list = append(list, g.Decisions[i].Reason())
		}
	}
	return list
}

// Plan says which snapshots are removed.
type Plan struct {
	// Groups is empty if the caller chose the snapshots.
	Groups []Group

	repo   *repo.Repo
	keep   []crypto.ID
	remove []crypto.ID
}

// NewPlan applies a policy to snapshots of r, like those that [repo.Repo.Snapshots]
// returns. It is ErrNoPolicy if the policy has no rules, and a
// *LastSnapshotError if a group would lose all its snapshots.
//
// To be sure that nobody adds or removes snapshots meanwhile, load the list,
// make the plan and apply it within one exclusive lock.
func NewPlan(r *repo.Repo, list []*snapshot.Snapshot, policy *snapshot.Policy, opts *Options) (*Plan, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	if policy.Empty() && !opts.AllowRemoveAll {
		return nil, ErrNoPolicy
	}
	now := opts.Now
	if now.IsZero() {
		now = time.Now()
	}
	p := &Plan{repo: r}
	for _, g := range snapshot.GroupBy(list, opts.GroupBy) {
		group := Group{Key: g.Key, Decisions: snapshot.Decide(g.Snapshots, policy, now)}
		keep := group.Keep()
		if len(keep) == 0 && !policy.Empty() {
			return nil, &LastSnapshotError{Key: g.Key, Count: len(g.Snapshots)}
		}
		p.keep = appendIDs(p.keep, keep)
		p.remove = appendIDs(p.remove, group.Remove())
		p.Groups = append(p.Groups, group)
	}
	return p, nil
}

// Chosen returns the plan to remove the snapshots of a list.
func Chosen(r *repo.Repo, list []*snapshot.Snapshot) *Plan {
	return &Plan{repo: r, remove: appendIDs(nil, list)}
}

func appendIDs(ids []crypto.ID, list []*snapshot.Snapshot) []crypto.ID {
	for _, sn := range list {
		ids = append(ids, sn.ID)
	}
	return ids
}

// Remove returns the IDs of the snapshots that the plan removes.
func (p *Plan) Remove() []crypto.ID { return slices.Clone(p.remove) }

// ErrStale means that snapshots which a plan counts on are gone.
var ErrStale = errors.New("snapshots were removed since it was decided what to forget")

// RemoveError means that some snapshots could not be removed.
type RemoveError struct {
	IDs  []crypto.ID
	Errs []error // one for each
}

func (e *RemoveError) Error() string {
	return fmt.Sprintf("failed to remove %d snapshots: %v", len(e.IDs), e.Errs[0])
}

// Unwrap returns the errors.
func (e *RemoveError) Unwrap() []error { return e.Errs }

// ApplyOptions say who watches; nil is nobody. The functions may be nil, and
// are called one at a time.
type ApplyOptions struct {
	Removed func(id crypto.ID)
	Failed  func(id crypto.ID, err error)
}

// removedAtOnce is how many files are deleted at the same time; they are tiny,
// so it is the latency that counts.
const removedAtOnce = 8

// Apply removes the snapshots and returns the IDs of those that are gone. It
// needs an exclusive lock. If a snapshot that the plan keeps is gone, it
// removes none and returns ErrStale. One that was to be removed and is gone
// already is passed over.
//
// A snapshot that can't be removed does not keep the others from being
// removed; the error is a *RemoveError then. If the lock is lost or ctx is
// done, Apply stops.
func (p *Plan) Apply(ctx context.Context, opts *ApplyOptions) ([]crypto.ID, error) {
	if opts == nil {
		opts = &ApplyOptions{}
	}
	if len(p.remove) == 0 {
		return nil, nil
	}
	there, err := p.present(ctx)
	if err != nil {
		return nil, err
	}
	a := application{plan: p, opts: opts}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(removedAtOnce)
	for _, id := range p.remove {
		if !there[id] {
			continue
		}
		g.Go(func() error { return a.remove(ctx, id) })
	}
	if err := g.Wait(); err != nil {
		return a.removed, err
	}
	if len(a.failed.IDs) > 0 {
		return a.removed, &a.failed
	}
	return a.removed, nil
}

// present returns which snapshots there are. All that the plan keeps must be
// among them.
func (p *Plan) present(ctx context.Context) (map[crypto.ID]bool, error) {
	there := make(map[crypto.ID]bool)
	for fi, err := range p.repo.List(ctx, backend.SnapshotFile) {
		if err != nil {
			return nil, err
		}
		there[fi.ID] = true
	}
	for _, id := range p.keep {
		if !there[id] {
			return nil, fmt.Errorf("%w: %s", ErrStale, id.Short())
		}
	}
	return there, nil
}

type application struct {
	plan *Plan
	opts *ApplyOptions

	mu      sync.Mutex // protects the following, and calls of opts
	removed []crypto.ID
	failed  RemoveError
}

// remove returns an error only if there is no use in going on.
func (a *application) remove(ctx context.Context, id crypto.ID) error {
	err := a.plan.repo.Remove(ctx, backend.SnapshotFile, id)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		a.removed = append(a.removed, id)
		if a.opts.Removed != nil {
			a.opts.Removed(id)
		}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, repo.ErrLockLost):
		return err
	default:
		a.failed.IDs = append(a.failed.IDs, id)
		a.failed.Errs = append(a.failed.Errs, err)
		if a.opts.Failed != nil {
			a.opts.Failed(id, err)
		}
	}
	return nil
}
