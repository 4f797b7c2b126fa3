package check

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend"
	"github.com/garner-backup/garner/repo/pack"
)

// Pack is a pack file in the repository.
type Pack struct {
	ID   crypto.ID
	Size int64 // bytes
}

func packHandle(id crypto.ID) backend.Handle {
	return backend.Handle{Type: backend.PackFile, Name: id.String()}
}

// checkPacks compares the packs that are there with those that the index
// lists, and returns those that are there, sorted.
func (c *checker) checkPacks(ctx context.Context) ([]Pack, error) {
	c.phase(PhasePacks, 0)
	stored, err := c.listPacks(ctx)
	if err != nil {
		return nil, err
	}
	seen := make([]bool, len(stored))
	for id, blobs := range c.repo.Index().ByPack() {
		i, ok := slices.BinarySearchFunc(stored, id, func(p Pack, id crypto.ID) int { return p.ID.Compare(id) })
		if !ok {
			c.found(Problem{Kind: MissingPack, File: packHandle(id), Err: fmt.Errorf("pack %s does not exist", id)})
			continue
		}
		seen[i] = true
		if want := pack.Size(blobs); stored[i].Size != want {
			c.found(Problem{Kind: WrongPackSize, File: packHandle(id),
				Err: fmt.Errorf("pack %s is %d bytes long, but the index lists blobs for %d", id, stored[i].Size, want)})
		}
		if mixed(blobs) {
			c.found(Problem{Kind: MixedPack, File: packHandle(id),
				Err: fmt.Errorf("pack %s has both data and trees; prune separates them", id.Short())})
		}
	}
	for i, p := range stored {
		if !seen[i] {
			c.found(Problem{Kind: UnindexedPack, File: packHandle(p.ID),
				Err: fmt.Errorf("pack %s is in no index file: an interrupted backup leaves such packs, prune removes them", p.ID.Short())})
		}
	}
	c.report.Packs = len(stored)
	return stored, nil
}

func mixed(blobs []index.Blob) bool {
	return slices.ContainsFunc(blobs, func(b index.Blob) bool { return b.Type != blobs[0].Type })
}

func (c *checker) listPacks(ctx context.Context) ([]Pack, error) {
	var packs []Pack
	for fi, err := range c.repo.List(ctx, backend.PackFile) {
		if err != nil {
			return nil, err
		}
		packs = append(packs, Pack{ID: fi.ID, Size: fi.Size})
	}
	slices.SortFunc(packs, func(a, b Pack) int { return a.ID.Compare(b.ID) })
	return packs, nil
}

// AllPacks selects every pack.
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
// what is in it; each blob that either lists is opened and hashed.
func (c *checker) checkData(ctx context.Context, packs []Pack) error {
	c.phase(PhaseData, len(packs))
	indexed := c.indexedBlobs(packs)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(backend.Connections(c.repo.Backend()), 2))
	for _, p := range packs {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			for _, err := range c.readPack(ctx, p, indexed[p.ID]) {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				c.found(Problem{Kind: DamagedPack, File: packHandle(p.ID), Err: fmt.Errorf("pack %s: %w", p.ID, err)})
			}
			c.mu.Lock()
			c.report.PacksRead++
			c.report.BytesRead += p.Size
			c.mu.Unlock()
			c.done(PhaseData)
			return nil
		})
	}
	return g.Wait()
}

// indexedBlobs returns what the index lists for the packs.
func (c *checker) indexedBlobs(packs []Pack) map[crypto.ID][]index.Blob {
	m := make(map[crypto.ID][]index.Blob, len(packs))
	for _, p := range packs {
		m[p.ID] = nil
	}
	for id, blobs := range c.repo.Index().ByPack() {
		if _, ok := m[id]; ok {
			m[id] = slices.Clone(blobs)
		}
	}
	return m
}

// maxRead is how many bytes of a pack are read in one request.
const maxRead = 16 << 20

// readPack returns all that is wrong with a pack. A pack that looks damaged
// is read once more, as the damage may be on the way.
func (c *checker) readPack(ctx context.Context, p Pack, indexed []index.Blob) []error {
	problems := c.readPackOnce(ctx, p, indexed)
	if len(problems) > 0 && ctx.Err() == nil {
		problems = c.readPackOnce(ctx, p, indexed)
	}
	return problems
}

func (c *checker) readPackOnce(ctx context.Context, p Pack, indexed []index.Blob) []error {
	blobs, err := pack.ReadHeader(ctx, c.repo.Backend(), c.repo.MasterKey(), p.ID, p.Size)
	var problems []error
	if err != nil {
		problems = append(problems, err)
		blobs = slices.Clone(indexed) // what the index lists may still be whole
	} else if err := compareLists(blobs, indexed); err != nil {
		problems = append(problems, err)
	}
	slices.SortFunc(blobs, func(a, b index.Blob) int { return cmp.Compare(a.Offset, b.Offset) })
	r := packReader{c: c, ctx: ctx, p: p, sum: sha256.New()}
	for _, b := range blobs {
		if err := r.blob(b); err != nil {
			problems = append(problems, fmt.Errorf("blob %v: %w", b.BlobHandle, err))
		}
	}
	if err := r.rest(); err != nil {
		return append(problems, err)
	}
	if id := crypto.ID(r.sum.Sum(nil)); id != p.ID {
		problems = append(problems, fmt.Errorf("content has the hash %s: %w", id, errors.New("content does not match its name (SHA-256)")))
	}
	return problems
}

// compareLists compares what a pack's header lists with what the index does.
// The index may list a pack not at all, but not in part.
func compareLists(header, indexed []index.Blob) error {
	if len(indexed) == 0 {
		return nil
	}
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
