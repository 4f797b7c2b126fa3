package prune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
)

// Plan is what is going to happen to each pack. It keeps a bit for each blob
// and some bytes for each pack.
type Plan struct {
	repo   *repo.Repo
	opts   Options
	seen   *observed
	stats  Stats
	small  int64         // packs below this size are small, bytes
	marker *repo.Marker  // what the snapshots need
	view   *index.View   // the index as it was
	keep   index.Bitmap  // positions in view that must survive: one for each blob in use
	packs  []packUse     // by number in view
	orphan []crypto.ID   // packs that no index lists
	remove index.Bitmap  // numbers of packs that leave the index, missing ones included
	repack []int         // numbers of packs to pack anew, in this order
	state  repositoryIDs // at the time
}

// packUse is what a pack is good for.
type packUse struct {
	size                    int64 // of the file; 0 if there is none
	sound                   bool  // the file is there and as long as the index says
	used, duplicate, unused count
	types                   [index.NumBlobTypes]bool
	raw                     [index.NumBlobTypes]bool // has blobs that would be compressed now
}

func (p *packUse) mixed() bool { return p.types[index.DataBlob] && p.types[index.TreeBlob] }

func (p *packUse) dataOnly() bool { return !p.types[index.TreeBlob] }

// waste is what packing the pack anew would free, in bytes.
func (p *packUse) waste() int64 { return p.unused.bytes + p.duplicate.bytes }

type count struct {
	blobs int
	bytes int64
}

func (c *count) add(b index.Blob) {
	c.blobs++
	c.bytes += stored(b)
}

func (c *count) remove(b index.Blob) {
	c.blobs--
	c.bytes -= stored(b)
}

func (c *count) plus(d count) {
	c.blobs += d.blobs
	c.bytes += d.bytes
}

// repositoryIDs are the files that a plan goes by.
type repositoryIDs struct {
	snapshots map[crypto.ID]bool
	indexes   []crypto.ID // sorted
}

// DamageError means that the repository must be repaired before it is pruned.
type DamageError struct {
	Packs []crypto.ID // missing or of a wrong size, though needed
	Err   error
}

func (e *DamageError) Error() string { return e.Err.Error() }
func (e *DamageError) Unwrap() error { return e.Err }

// NewPlan loads snapshots and index, finds what is in use and decides what to
// do with each pack. It changes nothing. If the repository is damaged in a
// way that pruning could make worse, the error is a [*DamageError], or a
// [*repo.CorruptError] for a file that can't be read.
func NewPlan(ctx context.Context, r *repo.Repo, opts *Options) (*Plan, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := opts.check(r); err != nil {
		return nil, err
	}
	p := &Plan{repo: r, opts: *opts, seen: observe(opts.Observer)}
	if p.opts.UnsafeRecovery {
		p.opts.MaxRepack = NoRepack
	}
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	p.keep = index.NewBitmap(p.view.Len())
	p.count()
	if err := p.checkPacks(); err != nil {
		return nil, err
	}
	p.decide()
	return p, nil
}

// look finds out what is there and what of it is in use.
func (p *Plan) look(ctx context.Context) error {
	// Snapshots before the index: one that is saved in between may need what
	// the index did not have yet.
	roots, err := p.loadSnapshots(ctx)
	if err != nil {
		return err
	}
	p.seen.phase(PhaseIndex, 0)
	if err := loadIndex(ctx, p.repo); err != nil {
		return err
	}
	p.state.indexes = p.repo.Index().Files()
	if err := p.mark(ctx, roots); err != nil {
		return err
	}
	p.seen.phase(PhasePacks, 0)
	return p.listPacks(ctx)
}

// loadIndex loads the index and says what to do if it is damaged.
func loadIndex(ctx context.Context, r *repo.Repo) error {
	err := r.LoadIndex(ctx)
	var corrupt *repo.CorruptError
	if errors.As(err, &corrupt) {
		return fmt.Errorf("%w\nrun `garner repair index` first", err)
	}
	return err
}

// loadSnapshots returns the trees of all snapshots that count.
func (p *Plan) loadSnapshots(ctx context.Context) (roots []crypto.ID, err error) {
	p.seen.phase(PhaseSnapshots, 0)
	ignore := make(map[crypto.ID]bool)
	for _, id := range p.opts.Ignore {
		ignore[id] = true
	}
	p.state.snapshots = make(map[crypto.ID]bool)
	for sn, err := range p.repo.AllSnapshots(ctx) {
		if sn != nil && ignore[sn.ID] {
			continue
		}
		if err != nil {
			return nil, unreadable(ctx, sn != nil, err)
		}
		if sn.Tree == nil || sn.Tree.IsZero() {
			return nil, &DamageError{Err: fmt.Errorf("snapshot %s has no tree", sn.ID.Short())}
		}
		p.state.snapshots[sn.ID] = true
		roots = append(roots, *sn.Tree)
	}
	return roots, nil
}

// unreadable adds to the error of a snapshot what can be done. Without the
// snapshot it is not known what is in use.
func unreadable(ctx context.Context, isFile bool, err error) error {
	var corrupt *repo.CorruptError
	if ctx.Err() == nil && isFile && errors.As(err, &corrupt) {
		return fmt.Errorf("%w\nwhat it needs is not known, so nothing can be removed: delete the file if the snapshot is lost anyhow", err)
	}
	return err
}

func (p *Plan) mark(ctx context.Context, roots []crypto.ID) error {
	p.seen.phase(PhaseMark, len(roots))
	p.marker = p.repo.NewMarker()
	p.view, _ = p.marker.Marks()
	err := p.marker.Mark(ctx, roots, func() { p.seen.done(PhaseMark) })
	return needsRepair(err)
}

// needsRepair explains errors of a Marker.
func needsRepair(err error) error {
	var missing *repo.MissingBlobsError
	if errors.As(err, &missing) {
		return &DamageError{Err: fmt.Errorf("%w\nthe index is not complete, or the blobs are lost: run `garner repair index`, then `garner check`", err)}
	}
	var corrupt *repo.CorruptError
	if errors.As(err, &corrupt) || errors.Is(err, backend.ErrNotExist) || errors.Is(err, backend.ErrShortFile) {
		return &DamageError{Err: fmt.Errorf("%w\nrun `garner check` to see what is damaged", err)}
	}
	return err
}

// listPacks compares the packs that are there with the index.
func (p *Plan) listPacks(ctx context.Context) error {
	p.packs = make([]packUse, p.view.Packs())
	infos := p.view.PackInfos()
	numbers := make(map[crypto.ID]int, p.view.Packs())
	for n := range p.view.Packs() {
		numbers[p.view.PackID(n)] = n
	}
	for fi, err := range p.repo.List(ctx, backend.PackFile) {
		if err != nil {
			return err
		}
		if n, ok := numbers[fi.ID]; ok {
			p.packs[n].size = fi.Size
			p.packs[n].sound = fi.Size == infos[n].FileSize()
			continue
		}
		p.orphan = append(p.orphan, fi.ID)
		p.stats.Packs.Unreferenced++
		p.stats.Bytes.Unreferenced += fi.Size
	}
	return nil
}

// count goes through all blobs. Of those that are stored several times one
// place is chosen.
func (p *Plan) count() {
	_, used := p.marker.Marks()
	var several []int // first positions of used blobs with more than one place
	for first, end := 0, 0; first < p.view.Len(); first = end {
		end = p.view.End(first)
		for at := first; at < end; at++ {
			b, pack := p.view.At(at), &p.packs[p.view.PackOf(at)]
			pack.types[b.Type] = true
			pack.raw[b.Type] = pack.raw[b.Type] || p.repo.Recompresses(b)
			switch {
			case !used.Has(first):
				pack.unused.add(b)
			case end-first > 1:
				pack.duplicate.add(b)
			default:
				pack.used.add(b)
				p.keep.Add(at)
			}
		}
		if used.Has(first) && end-first > 1 {
			several = append(several, first)
		}
	}
	for _, first := range several {
		at := p.choose(first)
		b, pack := p.view.At(at), &p.packs[p.view.PackOf(at)]
		pack.duplicate.remove(b)
		pack.used.add(b)
		p.keep.Add(at)
	}
}

// choose returns the place to keep of a blob that is stored several times.
// Best is a pack that is needed anyhow; then one that holds nothing but
// duplicates, as an interrupted prune leaves them: it is where blobs were
// moved to.
func (p *Plan) choose(first int) int {
	best, score := first, -1
	for at := first; at < p.view.End(first); at++ {
		s := 0
		switch pack := &p.packs[p.view.PackOf(at)]; {
		case !pack.sound:
			continue
		case pack.used.blobs > 0 && pack.unused.blobs == 0:
			s = 3
		case pack.used.blobs > 0:
			s = 2
		case pack.unused.blobs == 0:
			s = 1
		}
		if s > score {
			best, score = at, s
		}
	}
	return best
}

// checkPacks refuses to go on if a pack that is needed is not there, or not as
// long as the index says.
func (p *Plan) checkPacks() error {
	var missing, wrong []crypto.ID
	for n := range p.packs {
		switch pack := &p.packs[n]; {
		case pack.used.blobs == 0 || pack.sound:
		case pack.size == 0:
			missing = append(missing, p.view.PackID(n))
		default:
			wrong = append(wrong, p.view.PackID(n))
		}
	}
	if len(missing)+len(wrong) == 0 {
		return nil
	}
	what, example := "missing or empty", append(missing, wrong...)[0]
	if len(missing) == 0 {
		what = "of another size than the index says"
	}
	return &DamageError{Packs: append(missing, wrong...), Err: fmt.Errorf(
		"%d packs that are needed are %s, for example %s: run `garner repair index`, then `garner check`", len(missing)+len(wrong), what, example)}
}

// decide fills in remove and repack.
func (p *Plan) decide() {
	p.small = p.smallLimit()
	p.remove = index.NewBitmap(len(p.packs))
	var candidates, small []int
	for n := range p.packs {
		switch p.verdict(n) {
		case verdictRemove:
			p.remove.Add(n)
		case verdictSmall:
			small = append(small, n)
		case verdictRepack:
			candidates = append(candidates, n)
		}
	}
	if len(small) >= minSmall {
		candidates = append(candidates, small...)
	}
	p.selectRepack(candidates)
	for _, n := range p.repack {
		p.remove.Add(n)
	}
	p.sum()
}

// minSmall is how many small packs it takes to be worth packing them anew.
const minSmall = 10

type verdict uint8

const (
	verdictKeep verdict = iota
	verdictRemove
	verdictSmall
	verdictRepack
)

// verdict says what a pack by itself calls for.
func (p *Plan) verdict(n int) verdict {
	pack := &p.packs[n]
	switch {
	case pack.used.blobs == 0:
		return verdictRemove
	case p.opts.CacheableOnly && pack.dataOnly():
		return verdictKeep
	case pack.waste() > 0 || pack.mixed() || p.mustCompress(pack):
		return verdictRepack
	case pack.size < p.small:
		return verdictSmall
	}
	return verdictKeep
}

// mustCompress reports whether a pack is packed anew to be compressed. Trees
// of a repository that once was of version 1 always are.
func (p *Plan) mustCompress(pack *packUse) bool {
	return pack.raw[index.TreeBlob] || p.opts.Uncompressed && pack.raw[index.DataBlob]
}

// smallLimit returns the size in bytes below which packs are small.
func (p *Plan) smallLimit() int64 {
	if p.opts.SmallerThan > 0 {
		return p.opts.SmallerThan
	}
	sizes := make([]int64, 0, len(p.packs))
	for i := range p.packs {
		if p.packs[i].size > 0 {
			sizes = append(sizes, p.packs[i].size)
		}
	}
	slices.Sort(sizes)
	typical := int64(repo.MinPackSize)
	if len(sizes) > 0 {
		// Packs of one repository may aim at different sizes; what nearly
		// all of them reach counts.
		typical = max(typical, sizes[len(sizes)*3/100])
	}
	return typical * 4 / 5
}

// selectRepack chooses from the candidates, the most rewarding first.
func (p *Plan) selectRepack(candidates []int) {
	var used, waste int64
	for i := range p.packs {
		used += p.packs[i].used.bytes
		if p.packs[i].used.blobs > 0 {
			waste += p.packs[i].waste()
		}
	}
	tolerated := p.opts.MaxUnused.bytes(used)
	slices.SortStableFunc(candidates, p.compareCandidates)
	limit := p.opts.MaxRepack
	var repacked int64
	for _, n := range candidates {
		pack := &p.packs[n]
		content := pack.used.bytes + pack.waste()
		if limit == NoRepack || limit > 0 && repacked+content >= limit {
			continue
		}
		optional := pack.dataOnly() && !p.mustCompress(pack) && pack.size >= p.small
		if optional && float64(waste) <= tolerated {
			continue
		}
		p.repack = append(p.repack, n)
		repacked += content
		waste -= pack.waste()
	}
}

// compareCandidates puts packs with trees first, as they are read often, then
// small ones, then those with the most waste for the least work.
func (p *Plan) compareCandidates(a, b int) int {
	x, y := &p.packs[a], &p.packs[b]
	if c := boolCompare(x.dataOnly(), y.dataOnly()); c != 0 {
		return c
	}
	if c := boolCompare(x.size >= p.small, y.size >= p.small); c != 0 {
		return c
	}
	// waste/used, without division: more first.
	return cmp.Compare(float64(y.waste())*float64(x.used.bytes), float64(x.waste())*float64(y.used.bytes))
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
