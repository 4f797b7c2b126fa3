package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo"
)

// copier moves blobs from one pack to others. It is not safe for concurrent
// use.
type copier struct {
	repo *repo.Repo
	w    *repo.Writer
	// several says which blobs are stored elsewhere as well. The other place
	// is going to be given up, so this one is opened before it is chosen.
	several func(index.BlobHandle) bool
	trusted bool // the pack's header says what the index says
	sealed  []byte
	plain   []byte // of the blob at hand
}

// copyPack stores blobs of a pack again. They stay sealed as they are unless
// they would be compressed now. Their authenticators are verified, and that
// the pack's own header has them where the index says: what the index says
// becomes the header of a new pack, so a wrong index must not get there. If
// the header says something else or can't be read, each blob is opened.
func (c *copier) copyPack(ctx context.Context, pack repo.FileInfo, listed, blobs []index.Blob) error {
	if err := c.readHeader(ctx, pack, listed); err != nil {
		return err
	}
	var inMemory []index.Blob
	for _, b := range blobs {
		if b.PlaintextLength() < repo.LargeBlob {
			inMemory = append(inMemory, b)
			continue
		}
		if err := c.copyLarge(ctx, b); err != nil {
			return damaged(ctx, pack.ID, err)
		}
	}
	err := c.repo.LoadSealed(ctx, pack.ID, inMemory, func(b index.Blob, sealed []byte, err error) error {
		if err == nil {
			err = c.copyBlob(ctx, b, sealed)
		}
		var notStored *storeError
		if err != nil && ctx.Err() == nil && !errors.As(err, &notStored) {
			err = c.rescue(ctx, b) // the backend's retries are behind us, or the blob is damaged
		}
		return err
	})
	return damaged(ctx, pack.ID, err)
}

// readHeader finds out whether the pack's header agrees with the index.
func (c *copier) readHeader(ctx context.Context, pack repo.FileInfo, listed []index.Blob) error {
	return c.repo.ReadHeaders(ctx, []repo.FileInfo{pack}, func(h repo.PackHeader) error {
		c.trusted = h.Err == nil && slices.Equal(h.Blobs, listed)
		return nil
	})
}

// storeError is an error of the Writer, as opposed to one of reading.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

func asStoreError(err error) error {
	if err == nil {
		return nil
	}
	return &storeError{err}
}

func (c *copier) copyBlob(ctx context.Context, b index.Blob, sealed []byte) error {
	recompress := c.repo.Recompresses(b)
	if recompress || !c.trusted || c.several(b.BlobHandle) {
		c.sealed = append(c.sealed[:0], sealed...) // which OpenBlob overwrites
		plain, err := c.repo.OpenBlob(c.plain, b, c.sealed)
		if err != nil {
			return err
		}
		c.plain = plain
	}
	var err error
	if recompress {
		_, err = c.w.SaveAgain(ctx, b.BlobHandle, c.plain)
		return asStoreError(err)
	}
	if _, err = c.w.SaveSealed(ctx, b, sealed); errors.Is(err, crypto.ErrUnauthenticated) {
		return err
	}
	return asStoreError(err)
}

// rescue stores a blob from wherever else it can be read.
func (c *copier) rescue(ctx context.Context, b index.Blob) error {
	plain, err := c.repo.LoadBlob(ctx, b.BlobHandle, c.plain)
	if err != nil {
		return err
	}
	c.plain = plain
	_, err = c.w.SaveAgain(ctx, b.BlobHandle, plain)
	return asStoreError(err)
}

func (c *copier) copyLarge(ctx context.Context, b index.Blob) error {
	f, err := c.repo.LoadLarge(ctx, b.BlobHandle)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = c.w.SaveLargeAgain(ctx, b.BlobHandle, f)
	return asStoreError(err)
}

// damaged says what to do about a pack that can't be read.
func damaged(ctx context.Context, pack crypto.ID, err error) error {
	var corrupt *repo.CorruptError
	if ctx.Err() != nil || !errors.As(err, &corrupt) {
		return err
	}
	return &DamageError{Packs: []crypto.ID{pack}, Err: fmt.Errorf(
		"%w\nno pack in use was deleted; run `garner repair index --read-all-packs`, and if that does not help, `garner repair packs %s`", err, pack)}
}

// firstError keeps the first of several errors. It is safe for concurrent
// use.
type firstError struct {
	mu  sync.Mutex
	err error // owned by mu
}

func (f *firstError) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
