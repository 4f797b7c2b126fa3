package check

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pack"
)

// Pack is a pack that the index lists.
type Pack struct {
	ID   crypto.ID
	Size int64 // bytes that it must have
}

func packHandle(id crypto.ID) backend.Handle {
	return backend.Handle{Type: backend.PackFile, Name: id.String()}
}

// checkPacks compares the packs that are there with those that the index
// lists, and returns the latter, sorted.
func (c *checker) checkPacks(ctx context.Context) ([]Pack, error) {
	c.phase(PhasePacks, 0)
	stored, err := c.repo.Packs(ctx)
	if err != nil {
		return nil, err
	}
	c.report.Packs = len(stored)
	var listed []Pack
	seen := make([]bool, len(stored))
	for id, info := range c.repo.Index().Packs() {
		want := info.FileSize()
		listed = append(listed, Pack{id, want})
		if info.Mixed() {
			c.found(Problem{Kind: MixedPack, File: packHandle(id),
				Err: fmt.Errorf("pack %s has both data and trees; prune separates them", id.Short())})
		}
		i, ok := slices.BinarySearchFunc(stored, id, func(p repo.FileInfo, id crypto.ID) int { return p.ID.Compare(id) })
		if !ok {
			c.found(Problem{Kind: MissingPack, File: packHandle(id), Err: fmt.Errorf("pack %s does not exist", id)})
			continue
		}
		seen[i] = true
		if stored[i].Size != want {
			c.found(Problem{Kind: WrongPackSize, File: packHandle(id),
				Err: fmt.Errorf("pack %s is %d bytes long, but the index lists blobs for %d", id, stored[i].Size, want)})
		}
	}
	for i, p := range stored {
		if !seen[i] {
			c.found(Problem{Kind: UnindexedPack, File: packHandle(p.ID),
				Err: fmt.Errorf("pack %s is in no index file: an interrupted backup leaves such packs, prune removes them", p.ID.Short())})
		}
	}
	slices.SortFunc(listed, func(a, b Pack) int { return a.ID.Compare(b.ID) })
	return listed, nil
}

// AllPacks selects every pack that the index lists.
func AllPacks(packs []Pack) []Pack { return packs }

// PackGroup selects the n-th of total groups, 1 <= n <= total <= 256. All
// groups together are all packs; a pack stays in its group as long as the
// total does.
func PackGroup(n, total int) func([]Pack) []Pack {
	return func(packs []Pack) []Pack {
		var group []Pack
		for _, p := range packs {
			if int(p.ID[0])%total == n-1 {
				group = append(group, p)
			}
		}
		return group
	}
}

// RandomPacks selects a fraction of the packs, between 0 and 1, by chance,
// and at least one.
func RandomPacks(fraction float64) func([]Pack) []Pack {
	return func(packs []Pack) []Pack {
		if len(packs) == 0 {
			return nil
		}
		packs = slices.Clone(packs)
		rand.Shuffle(len(packs), func(i, j int) { packs[i], packs[j] = packs[j], packs[i] })
		n := int(float64(len(packs)) * fraction)
		return packs[:min(max(n, 1), len(packs))]
	}
}

// RandomBytes selects packs by chance that together have about size bytes.
func RandomBytes(size int64) func([]Pack) []Pack {
	return func(packs []Pack) []Pack {
		var total int64
		for _, p := range packs {
			total += p.Size
		}
		if total == 0 {
			return nil
		}
		return RandomPacks(min(1, float64(size)/float64(total)))(packs)
	}
}

// checkData reads packs whole. Both the pack's own header and the index say
// what is in it; they must agree, and each blob is opened and hashed. What is
// behind the end that the index implies is not read: the wrong size has been
// reported.
func (c *checker) checkData(ctx context.Context, packs []Pack) error {
	c.phase(PhaseData, len(packs))
	sizes := make(map[crypto.ID]int64, len(packs))
	for _, p := range packs {
		sizes[p.ID] = p.Size
	}
	view := c.repo.Index().View()
	chosen := func(number int) bool {
		_, ok := sizes[view.PackID(number)]
		return ok
	}
	g, gctx := errgroup.WithContext(ctx)
	workers := max(backend.Connections(c.repo.Backend()), 2)
	g.SetLimit(workers)
	c.buffers = make(chan *packBuffers, workers)
	for number, positions := range view.ByPack(chosen) {
		if gctx.Err() != nil {
			break
		}
		id := view.PackID(number)
		p := Pack{id, sizes[id]}
		g.Go(func() error {
			blobs := make([]index.Blob, len(positions))
			for i, at := range positions {
				blobs[i] = view.At(at)
			}
			return c.checkPackData(gctx, p, blobs)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// checkPackData reads one pack and counts it.
func (c *checker) checkPackData(ctx context.Context, p Pack, blobs []index.Blob) error {
	problem, ok := c.readPack(ctx, p, blobs)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !ok {
		c.found(problem)
	}
	c.mu.Lock()
	c.report.PacksRead++
	c.report.BytesRead += p.Size
	c.mu.Unlock()
	c.done(PhaseData)
	return nil
}

// readPack reports whether a pack is whole, and what is wrong with it
// otherwise. A pack that looks damaged is read once more, as the damage may be
// on the way.
func (c *checker) readPack(ctx context.Context, p Pack, indexed []index.Blob) (Problem, bool) {
	var problems []error
	var failed error
	for range 2 {
		problems, failed = c.readPackOnce(ctx, p, indexed)
		if len(problems) == 0 && failed == nil || ctx.Err() != nil {
			return Problem{}, true
		}
	}
	if failed != nil && len(problems) == 0 {
		return Problem{Kind: UnreadablePack, File: packHandle(p.ID), Err: fmt.Errorf("pack %s can't be read: %w", p.ID, failed)}, false
	}
	if failed != nil {
		problems = append(problems, failed)
	}
	return Problem{Kind: DamagedPack, File: packHandle(p.ID), Err: &PackError{p.ID, problems}}, false
}

// PackError tells what is wrong with the content of a pack.
type PackError struct {
	Pack     crypto.ID
	Problems []error
}

// maxTold is how many problems of a pack its message tells.
const maxTold = 10

func (e *PackError) Error() string {
	var told []string
	for _, err := range e.Problems[:min(len(e.Problems), maxTold)] {
		told = append(told, err.Error())
	}
	if more := len(e.Problems) - maxTold; more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("pack %s: %s", e.Pack, strings.Join(told, "; "))
}

// Unwrap returns the problems.
func (e *PackError) Unwrap() []error { return e.Problems }

// readPackOnce returns what is wrong with a pack, and the error that kept it
// from being read to its end.
func (c *checker) readPackOnce(ctx context.Context, p Pack, indexed []index.Blob) (problems []error, failed error) {
	slices.SortFunc(indexed, func(a, b index.Blob) int { return cmp.Compare(a.Offset, b.Offset) })
	r := packReader{c: c, ctx: ctx, p: p, sum: crypto.NewHasher().NewDigest(), packBuffers: c.getBuffers()}
	defer c.putBuffers(r.packBuffers)
	for _, b := range indexed {
		err := r.blob(b)
		if r.failed != nil {
			return problems, r.failed
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("blob %v: %w", b.BlobHandle, err))
		}
	}
	if err := r.rest(); err != nil {
		return problems, err
	}
	if id := r.sum.ID(); id != p.ID {
		return append(problems, fmt.Errorf("content has the hash %s, which is not the pack's name", id)), nil
	}
	// The bytes are what was stored once, so the header decides.
	header, err := pack.ReadHeader(ctx, c.repo.Backend(), c.repo.MasterKey(), p.ID, p.Size)
	if err == nil {
		err = compareLists(header, indexed)
	}
	if err != nil {
		problems = append(problems, err)
	}
	return problems, nil
}

// compareLists compares what a pack's header lists with what the index does.
func compareLists(header, indexed []index.Blob) error {
	byOffset := func(a, b index.Blob) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), a.ID.Compare(b.ID), cmp.Compare(a.Type, b.Type))
	}
	h, i := slices.Clone(header), slices.Clone(indexed)
	slices.SortFunc(h, byOffset)
	slices.SortFunc(i, byOffset)
	if slices.Equal(h, i) {
		return nil
	}
	return fmt.Errorf("the header lists %d blobs, the index %d, and they are not the same", len(h), len(i))
}
