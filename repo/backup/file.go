package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
)

const (
	// smallFile is the size below which a file is one chunk: it never meets
	// the chunker.
	smallFile = chunk.DefaultMinSize
	// blockSize is how much of a large file is read at a time. A block holds
	// whole chunks. Where a chunk leaves no room for minRead more bytes of the
	// file, a hugeBlock follows, which every chunk does.
	blockSize = 4 << 20
	minRead   = 1 << 20
	hugeBlock = chunk.DefaultMaxSize + minRead
)

// fileContent is what saving a file's content gives.
type fileContent struct {
	ids   []crypto.ID
	size  int64
	added Added
	err   error // the first of a chunk
}

// repoError marks an error that ends the whole backup, as opposed to one of
// the file that is being read.
type repoError struct{ err error }

func (e *repoError) Error() string { return e.err.Error() }
func (e *repoError) Unwrap() error { return e.err }

// saveContent reads f to its end and stores its chunks. size is what f had
// when it was opened.
func (a *archiver) saveContent(ctx context.Context, f io.Reader, size uint64) (fileContent, error) {
	c := fileContent{ids: []crypto.ID{}}
	b := a.blocks.get(smallFile)
	n, err := readSmall(f, b.buf[:smallFile], size)
	switch {
	case errors.Is(err, io.EOF) && n == 0:
		b.release()
		return c, nil
	case errors.Is(err, io.EOF):
		defer b.release()
		c.size = int64(n)
		saved, err := a.w.SaveBlob(ctx, index.DataBlob, b.buf[:n])
		if err != nil {
			return c, &repoError{err}
		}
		c.ids = append(c.ids, saved.ID)
		c.added.data(saved, n)
		a.processed(int64(n))
		return c, nil
	case err != nil:
		b.release()
		return c, err
	}
	return a.saveLargeFile(ctx, f, b)
}

// readSmall is readFull, and takes the size of the file for its end if a
// single Read returned just that: where sizes are true, asking for more is in
// vain, and a file that grows meanwhile is saved as it was.
func readSmall(f io.Reader, buf []byte, size uint64) (int, error) {
	n, err := f.Read(buf)
	switch {
	case err != nil:
		return n, err
	case n > 0 && uint64(n) == size && n < len(buf):
		return n, io.EOF
	}
	m, err := readFull(f, buf[n:])
	return n + m, err
}

// readFull reads until buf is full or f ends; the latter is io.EOF.
func readFull(f io.Reader, buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := f.Read(buf[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// groupSize is how many chunks are hashed in one go.
const groupSize = 4

// chunkJob is a few chunks in a row on their way into the repository.
type chunkJob struct {
	chunks [][]byte // in a block of which one reference is the job's
	ids    [groupSize]crypto.ID
	added  Added
	err    error
	done   <-chan struct{}
}

// saveLargeFile cuts the file that begins with the content of first, which
// is full, and stores its chunks, several at a time.
func (a *archiver) saveLargeFile(ctx context.Context, f io.Reader, first *block) (fileContent, error) {
	cutter := a.table.NewCutter()
	// Finding cut points is what one file can't share with other work. Where
	// there are cores to spare, several scan.
	cutter.SetWorkers(runtime.GOMAXPROCS(0) / 4)
	b := a.blocks.get(blockSize)
	have := copy(b.buf, first.buf[:smallFile]) // bytes of the block that are set, from a chunk's start
	first.release()

	c := fileContent{ids: []crypto.ID{}}
	var jobs []*chunkJob
	var cuts []int
	var readErr error
	for readErr == nil {
		n, err := readFull(f, b.buf[have:])
		readErr = err
		have += n
		if err := ctx.Err(); err != nil {
			readErr = &repoError{context.Cause(ctx)}
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			break
		}
		cuts = cutter.Cuts(cuts[:0], b.buf[:have], err != nil)
		start := 0
		for group := range slices.Chunk(cuts, groupSize) {
			jobs = append(jobs, a.saveChunks(ctx, b, start, group))
			start = group[len(group)-1]
		}
		b, have = a.nextBlock(b, start, have)
		jobs = c.take(a, jobs, false)
	}
	b.release()
	c.take(a, jobs, true)
	if c.err == nil && !errors.Is(readErr, io.EOF) {
		c.err = readErr
	}
	return c, c.err
}

// nextBlock returns a block that begins with b.buf[start:have], the chunk
// that is not complete yet, and has room for more. It gives b back.
func (a *archiver) nextBlock(b *block, start, have int) (*block, int) {
	rest := b.buf[start:have]
	size := blockSize
	if len(rest) > blockSize-minRead {
		size = hugeBlock
	}
	next := a.blocks.get(size)
	n := copy(next.buf, rest)
	b.release()
	return next, n
}

// saveChunks stores the chunks of a block that begin at start and end at ends.
func (a *archiver) saveChunks(ctx context.Context, b *block, start int, ends []int) *chunkJob {
	job := &chunkJob{}
	for _, end := range ends {
		job.chunks = append(job.chunks, b.buf[start:end])
		start = end
	}
	b.refs.Add(1)
	job.done = a.fork(func() {
		defer b.release()
		if err := a.saveGroup(ctx, job); err != nil {
			job.err = &repoError{err}
		}
	})
	return job
}

func (a *archiver) saveGroup(ctx context.Context, job *chunkJob) error {
	a.hash(job)
	for i, data := range job.chunks {
		saved, err := a.w.SaveHashed(ctx, dataHandle(job.ids[i]), data)
		if err != nil {
			return err
		}
		job.added.data(saved, len(data))
		a.processed(int64(len(data)))
	}
	return nil
}

// hash computes the IDs of a job's chunks, all those that are not zeros
// together.
func (a *archiver) hash(job *chunkJob) {
	var messages [groupSize][]byte
	var at [groupSize]int // the chunk that a message is
	var ids [groupSize]crypto.ID
	n := 0
	for i, data := range job.chunks {
		if a.zeros.is(data) {
			job.ids[i] = a.zeros.id
			continue
		}
		messages[n], at[n] = data, i
		n++
	}
	a.hasher.Sum(ids[:n], messages[:n])
	for i := range n {
		job.ids[at[i]] = ids[i]
	}
}

// take adds the results of jobs, in order, up to the first that is still at
// work, or all of them if wait is set. It returns the rest.
func (c *fileContent) take(a *archiver, jobs []*chunkJob, wait bool) []*chunkJob {
	for len(jobs) > 0 {
		job := jobs[0]
		if !wait && !closed(job.done) {
			break
		}
		a.wait(job.done)
		if c.err == nil {
			c.err = job.err
		}
		c.ids = append(c.ids, job.ids[:len(job.chunks)]...)
		for _, data := range job.chunks {
			c.size += int64(len(data))
		}
		c.added.merge(job.added)
		jobs = jobs[1:]
	}
	return jobs
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func (s *Added) merge(o Added) {
	s.DataBlobs += o.DataBlobs
	s.TreeBlobs += o.TreeBlobs
	s.DataSize += o.DataSize
	s.DataStored += o.DataStored
	s.TreeSize += o.TreeSize
	s.TreeStored += o.TreeStored
}

// zeroChunk recognises the chunk that holes are cut into: as many zeros as a
// chunk has at least. It need not be hashed each time.
type zeroChunk struct {
	zeros []byte
	id    crypto.ID
}

func newZeroChunk() zeroChunk {
	zeros := make([]byte, chunk.DefaultMinSize)
	return zeroChunk{zeros: zeros, id: crypto.Hash(zeros)}
}

func (z *zeroChunk) is(data []byte) bool {
	return len(data) == len(z.zeros) && bytes.Equal(data, z.zeros)
}

// block is a buffer that several chunks lie in. It goes back to its pool when
// the last reference is released.
type block struct {
	buf  []byte
	refs atomic.Int32
	pool *blockPool
}

func (b *block) release() {
	if b.refs.Add(-1) == 0 {
		b.pool.put(b)
	}
}

// blockPool keeps blocks of the common sizes for the next file, as many as
// workers usually need.
type blockPool struct{ small, large, huge chan *block }

func newBlockPool(workers int) blockPool {
	return blockPool{
		small: make(chan *block, workers),
		large: make(chan *block, workers),
		huge:  make(chan *block, 1),
	}
}

func (p *blockPool) get(size int) *block {
	var b *block
	select {
	case b = <-p.of(size):
	default:
		b = &block{buf: make([]byte, size), pool: p}
	}
	b.refs.Store(1)
	return b
}

func (p *blockPool) put(b *block) {
	select {
	case p.of(len(b.buf)) <- b:
	default:
	}
}

// of returns the blocks of a size that are free; nil for an odd size.
func (p *blockPool) of(size int) chan *block {
	switch size {
	case smallFile:
		return p.small
	case blockSize:
		return p.large
	case hugeBlock:
		return p.huge
	}
	return nil
}
