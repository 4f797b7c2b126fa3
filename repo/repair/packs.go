package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
	"github.com/garner-backup/garner/repo/backend"
)

// PacksOptions say how packs are salvaged; nil is the default.
type PacksOptions struct {
	// Copy opens where the bytes of a pack are copied to before anything is
	// changed. Nil makes no copies.
	Copy func(pack crypto.ID) (io.WriteCloser, error)
	// Observer is told what happens; nil is nobody.
	Observer *Observer
}

// PacksResult tells what Packs did.
type PacksResult struct {
	repo.IndexFiles
	Saved int // blobs
	Lost  int // blobs
}

// Packs stores what is whole in damaged packs anew, and removes the packs.
// What is in them is known from their headers, if these can be read, and from
// the index. A blob that can't be read from a pack is looked for in others;
// if it is nowhere, PlanSnapshots finds the files that are the poorer.
//
// The order is: copies, new packs with their index, an index without the
// damaged packs, and only then these packs go. A storage that fails, as
// opposed to one that gives damaged bytes, ends it before anything is removed.
func Packs(ctx context.Context, r *repo.Repo, ids []crypto.ID, opts *PacksOptions) (*PacksResult, error) {
	if opts == nil {
		opts = &PacksOptions{}
	}
	p := &packRepair{repo: r, opts: opts, watcher: watch(opts.Observer), packs: make(map[crypto.ID]*[]index.Blob)}
	if err := p.prepare(ctx, ids); err != nil {
		return nil, err
	}
	p.phase(PhaseSalvage, len(p.packs))
	if err := r.Write(ctx, p.salvageAll); err != nil {
		return nil, err
	}
	p.phase(PhaseIndex, 0)
	files, err := r.RewriteIndex(ctx, &repo.IndexRewrite{
		Drop: func(pack crypto.ID) bool { return p.packs[pack] != nil },
	})
	p.result.IndexFiles = files
	if err != nil {
		return &p.result, err
	}
	p.remove(ctx)
	return &p.result, r.LoadIndex(ctx)
}

// packRepair is the state of one Packs.
type packRepair struct {
	*watcher
	repo   *repo.Repo
	opts   *PacksOptions
	result PacksResult
	order  []crypto.ID
	packs  map[crypto.ID]*[]index.Blob // what is, or was, in each pack
}

func packHandle(id crypto.ID) backend.Handle {
	return backend.Handle{Type: backend.PackFile, Name: id.String()}
}

// prepare makes copies and finds out what is in the packs.
func (p *packRepair) prepare(ctx context.Context, ids []crypto.ID) error {
	p.phase(PhaseLoad, 0)
	if err := p.repo.LoadIndex(ctx); err != nil {
		return fmt.Errorf("%w; rebuild the index first", err)
	}
	var files []repo.FileInfo
	for _, id := range ids {
		if p.packs[id] != nil {
			continue
		}
		fi, err := p.repo.Backend().Stat(ctx, packHandle(id))
		if errors.Is(err, backend.ErrNotExist) {
			return fmt.Errorf("pack %s: %w; if the index lists it, rebuild the index", id, err)
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", id, err)
		}
		files = append(files, repo.FileInfo{ID: id, Size: fi.Size})
		p.order = append(p.order, id)
		p.packs[id] = new([]index.Blob)
	}
	if p.opts.Copy != nil {
		p.phase(PhaseCopy, len(files))
		for _, f := range files {
			if err := p.copy(ctx, f); err != nil {
				return fmt.Errorf("copy of pack %s: %w", f.ID, err)
			}
			p.done()
		}
	}
	return p.contents(ctx, files)
}

// copySize is how many bytes of a pack are copied in one request.
const copySize = 8 << 20

// copy saves the bytes of a pack as they are.
func (p *packRepair) copy(ctx context.Context, f repo.FileInfo) (err error) {
	w, err := p.opts.Copy(f.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	var buf []byte
	for done := int64(0); done < f.Size; done += int64(len(buf)) {
		buf, err = p.repo.Backend().Load(ctx, packHandle(f.ID), done, int(min(copySize, f.Size-done)), buf)
		if err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// contents collects what headers and index list. The table learns what only
// the headers say, so that the blobs can be loaded; no index file does.
func (p *packRepair) contents(ctx context.Context, files []repo.FileInfo) error {
	err := p.repo.ReadHeaders(ctx, files, func(h repo.PackHeader) error {
		switch {
		case h.Err == nil:
			p.repo.Index().Add(h.ID, h.Blobs)
		case isDamage(h.Err):
			p.found(Finding{Kind: UnreadablePack, ID: h.ID, Err: h.Err})
		default:
			return h.Err
		}
		return nil
	})
	if err != nil {
		return err
	}
	view := p.repo.Index().View()
	wanted := func(number int) bool { return p.packs[view.PackID(number)] != nil }
	for number, positions := range view.ByPack(wanted) {
		list := p.packs[view.PackID(number)]
		for _, at := range positions {
			*list = append(*list, view.At(at))
		}
	}
	return nil
}

// salvageAll stores all blobs of the packs that can be read, each once.
func (p *packRepair) salvageAll(ctx context.Context, w *repo.Writer) error {
	saved := make(map[index.BlobHandle]bool)
	lost := make(map[index.BlobHandle]error)
	for _, id := range p.order {
		if err := p.salvage(ctx, w, id, saved, lost); err != nil {
			return err
		}
		p.done()
	}
	p.result.Saved = len(saved)
	handles := slices.SortedFunc(maps.Keys(lost), func(a, b index.BlobHandle) int { return a.ID.Compare(b.ID) })
	for _, h := range handles {
		if !saved[h] {
			p.result.Lost++
			p.found(Finding{Kind: LostBlob, Blob: h, Err: lost[h]})
		}
	}
	return nil
}

// salvage stores the blobs of one pack.
func (p *packRepair) salvage(ctx context.Context, w *repo.Writer, id crypto.ID, saved map[index.BlobHandle]bool, lost map[index.BlobHandle]error) error {
	var small []index.Blob
	for _, b := range *p.packs[id] {
		switch {
		case saved[b.BlobHandle]:
		case b.PlaintextLength() >= repo.LargeBlob:
			if err := p.settle(b.BlobHandle, p.salvageLarge(ctx, w, b.BlobHandle), saved, lost); err != nil {
				return err
			}
		default:
			small = append(small, b)
		}
	}
	return p.repo.LoadFromPack(ctx, id, small, func(b index.Blob, plain []byte, err error) error {
		if err == nil && !saved[b.BlobHandle] {
			if _, err := w.SaveAgain(ctx, b.BlobHandle, plain); err != nil {
				return err // the new pack could not be written
			}
		}
		return p.settle(b.BlobHandle, err, saved, lost)
	})
}

// settle notes what became of a blob. It returns errors that are not damage.
func (p *packRepair) settle(h index.BlobHandle, err error, saved map[index.BlobHandle]bool, lost map[index.BlobHandle]error) error {
	switch {
	case err == nil:
		saved[h] = true
	case !isDamage(err):
		return err
	default:
		lost[h] = err
	}
	return nil
}

// salvageLarge stores a blob that is too large for memory.
func (p *packRepair) salvageLarge(ctx context.Context, w *repo.Writer, h index.BlobHandle) error {
	f, err := p.repo.LoadLarge(ctx, h)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = w.SaveLargeAgain(ctx, h, f)
	return err
}

// remove deletes the packs, which are in no index any more. What can't be
// deleted is rubbish that pruning removes.
func (p *packRepair) remove(ctx context.Context) {
	p.phase(PhaseRemove, len(p.order))
	for _, id := range p.order {
		if err := p.repo.Remove(ctx, backend.PackFile, id); err != nil && !errors.Is(err, backend.ErrNotExist) {
			p.found(Finding{Kind: PackStays, ID: id, Err: err})
		}
		p.done()
	}
}
