package repair

import (
	"context"
	"slices"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
)

// IndexOptions say how the index is rebuilt; nil is the default.
type IndexOptions struct {
	// ReadAllPacks reads the header of every pack, instead of only those
	// that the index does not know or knows to be of another size.
	ReadAllPacks bool
	// Observer is told what happens; nil is nobody.
	Observer *Observer
}

// IndexResult tells what Index did.
type IndexResult struct {
	repo.IndexFiles
	Read       int         // headers of packs
	Missing    int         // packs that left the index
	Unreadable []crypto.ID // packs whose header can't be read, sorted
}

// Index makes the index files fit the packs that are stored. Files that can't
// be read are removed, packs that are gone leave the index, and those that it
// does not know, or knows to be of another size, are entered as their headers
// say. A pack whose header can't be read keeps what the index says of it, so
// that Packs can save what is whole in it.
//
// New index files are stored before the old ones are removed. When Index
// returns nil, the table of r is the new index.
func Index(ctx context.Context, r *repo.Repo, opts *IndexOptions) (*IndexResult, error) {
	if opts == nil {
		opts = &IndexOptions{}
	}
	x := &indexRepair{repo: r, opts: opts, watcher: watch(opts.Observer), drop: make(map[crypto.ID]bool)}
	if err := x.load(ctx); err != nil {
		return nil, err
	}
	x.phase(PhaseList, 0)
	if err := x.compare(ctx); err != nil {
		return nil, err
	}
	files, err := r.RewriteIndex(ctx, &repo.IndexRewrite{
		Discard: x.discard,
		Add:     x.enterPacks,
		Drop:    func(pack crypto.ID) bool { return x.drop[pack] }, // complete when the first file is looked at
	})
	x.result.IndexFiles = files
	if err != nil {
		return &x.result, err
	}
	slices.SortFunc(x.result.Unreadable, crypto.ID.Compare)
	return &x.result, r.LoadIndex(ctx)
}

// indexRepair is the state of one Index.
type indexRepair struct {
	*watcher
	repo   *repo.Repo
	opts   *IndexOptions
	result IndexResult

	discard  []crypto.ID        // index files
	conflict map[crypto.ID]bool // packs
	read     []repo.FileInfo    // packs
	drop     map[crypto.ID]bool // packs whose old entries go
}

// load reads the index files, as far as they can be read.
func (x *indexRepair) load(ctx context.Context) error {
	x.phase(PhaseLoad, 0)
	x.conflict = make(map[crypto.ID]bool)
	damaged, err := x.repo.LoadIndexFiles(ctx, func(_, pack crypto.ID, same bool) {
		if !same {
			x.conflict[pack] = true
		}
	})
	if err != nil {
		return err
	}
	for _, d := range damaged {
		id, err := crypto.ParseID(d.Handle.Name)
		if err != nil {
			return err
		}
		x.discard = append(x.discard, id)
		x.found(Finding{Kind: DamagedIndex, ID: id, Err: d})
	}
	return nil
}

// compare finds the packs that the index is wrong about.
func (x *indexRepair) compare(ctx context.Context) error {
	stored, err := x.repo.Packs(ctx)
	if err != nil {
		return err
	}
	known := make([]bool, len(stored))
	for id, info := range x.repo.Index().Packs() {
		i, ok := slices.BinarySearchFunc(stored, id, func(p repo.FileInfo, id crypto.ID) int { return p.ID.Compare(id) })
		if !ok {
			x.drop[id] = true
			x.result.Missing++
			x.found(Finding{Kind: MissingPack, ID: id})
			continue
		}
		known[i] = true
		switch want := info.FileSize(); {
		case x.conflict[id]:
			x.found(Finding{Kind: ConflictingPack, ID: id})
		case want != stored[i].Size:
			x.found(Finding{Kind: ResizedPack, ID: id, Got: stored[i].Size, Want: want})
		case !x.opts.ReadAllPacks:
			continue
		}
		x.read = append(x.read, stored[i])
	}
	for i, p := range stored {
		if !known[i] {
			x.found(Finding{Kind: UnindexedPack, ID: p.ID})
			x.read = append(x.read, p)
		}
	}
	return nil
}

// enterPacks reads headers and enters what they list instead of the old
// entries.
func (x *indexRepair) enterPacks(ctx context.Context, enter func(crypto.ID, []index.Blob) error) error {
	if len(x.read) > 0 {
		x.phase(PhaseHeaders, len(x.read))
	}
	err := x.repo.ReadHeaders(ctx, x.read, func(h repo.PackHeader) error {
		defer x.done()
		if h.Err != nil {
			x.result.Unreadable = append(x.result.Unreadable, h.ID)
			x.found(Finding{Kind: UnreadablePack, ID: h.ID, Err: h.Err})
			return nil
		}
		x.result.Read++
		x.drop[h.ID] = true
		return enter(h.ID, h.Blobs)
	})
	if err == nil {
		x.phase(PhaseIndex, 0)
	}
	return err
}
