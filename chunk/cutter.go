package chunk

// Cutter cuts one file. It keeps what is known of the chunk that is not
// complete yet. It is not safe for concurrent use.
type Cutter struct {
	t *Table
	// scanned is up to where, from the start of the current chunk, there is
	// no admissible candidate.
	scanned int
	workers int

	memory     *kernelMemory // nil: there is no kernel
	candidates []int         // of a parallel scan; reused
}

// NewCutter returns a Cutter at the start of a file.
func (t *Table) NewCutter() *Cutter {
	c := &Cutter{t: t, workers: 1}
	if t.planes != nil {
		c.memory = new(kernelMemory)
	}
	return c
}

// SetWorkers lets Cuts scan large pieces by up to n goroutines at the same
// time. They look at more bytes than one does: a single one passes over the
// minimum size after each cut. With a kernel Cuts makes no use of them: one
// core then cuts faster than a file is read.
func (c *Cutter) SetWorkers(n int) { c.workers = max(n, 1) }

// Reset makes the Cutter ready for another file.
func (c *Cutter) Reset() { c.scanned = 0 }

// Cuts appends to dst where the chunks of data end. data begins where the
// current chunk does and holds what was read of the file from there on. Only
// chunks whose end is certain are reported; the caller presents the bytes
// behind the last end again, in front of what it reads next. With final, no
// more bytes follow, and what is left is a chunk as well.
func (c *Cutter) Cuts(dst []int, data []byte, final bool) []int {
	if c.workers > 1 && c.t.planes == nil && len(data)-c.scanned >= 2*segmentSize {
		return c.cutsParallel(dst, data, final)
	}
	start := 0
	for {
		n := c.next(data[start:])
		if n == 0 {
			break
		}
		start += n
		dst = append(dst, start)
	}
	return c.finish(dst, start, len(data), final)
}

// finish reports the last chunk of a file.
func (c *Cutter) finish(dst []int, start, end int, final bool) []int {
	if final {
		c.scanned = 0
		if start < end {
			dst = append(dst, end)
		}
	}
	return dst
}

// The scan goes in steps, as everything behind the first candidate is looked
// at in vain. The first step is short, for runs of zeros, where each position
// is a candidate. The others are of one call of the widest kernel.
const (
	firstStep = 1 << 10
	step      = maxBlocks * blockSize * 64
)

// next returns the length of the chunk that data begins with, or 0 if its end
// is not in data.
func (c *Cutter) next(data []byte) int {
	t := c.t
	// Position min itself is admissible; its window ends there.
	from := max(c.scanned, t.min-1)
	limit := min(len(data), t.max)
	for size := firstStep; from < limit; size = step {
		to := min(from+size, limit)
		if at := c.first(data, from, to); at > 0 {
			c.scanned = 0
			return at
		}
		from = to
	}
	if len(data) >= t.max {
		c.scanned = 0
		return t.max
	}
	c.scanned = max(c.scanned, limit)
	return 0
}

// first returns the first candidate in (from, to], or 0.
func (c *Cutter) first(data []byte, from, to int) int {
	t := c.t
	if from < windowSize { // only with the smallest minimum
		if t.tables.digest(data[:windowSize])&t.mask == 0 {
			return windowSize
		}
		from = windowSize
	}
	if t.planes == nil || to-from <= firstStep {
		return max(0, t.tables.scanFirst(data, from, to, t.mask))
	}
	return max(0, t.planes.scanFirst(c.memory, data, from, to))
}

// cutsParallel is Cuts with all candidates found beforehand.
func (c *Cutter) cutsParallel(dst []int, data []byte, final bool) []int {
	t := c.t
	c.candidates = t.ScanParallel(c.candidates[:0], data, c.scanned, len(data), c.workers)
	start := 0
	rest := c.candidates
	for {
		for len(rest) > 0 && rest[0]-start < t.min {
			rest = rest[1:]
		}
		end := start + t.max
		if len(rest) > 0 {
			end = min(end, rest[0])
		}
		if end > len(data) {
			break
		}
		start = end
		dst = append(dst, start)
	}
	c.scanned = len(data) - start
	return c.finish(dst, start, len(data), final)
}
