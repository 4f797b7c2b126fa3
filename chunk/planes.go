package chunk

// kernel is a function in assembly that scans many regions of a buffer at
// once, its lanes. How is described in internal/gen.
type kernel struct {
	name  string
	lanes int
	scan  func(tables *kernelTables, memory *[3 * 64 * blockSize]byte, hits *kernelHits, rows *byte, stride, blocks int)
}

const (
	// blockSize is how much of each lane a kernel takes in before it moves on
	// to the next piece of all of them.
	blockSize = windowSize

	// maxBlocks bounds the blocks of a lane in one call, which looks at 68 KiB
	// with 64 lanes and takes some ten microseconds. It should not take long:
	// it can't be interrupted, and what lies behind a cut is looked at in
	// vain. But each call has to take in the windows in front of the lanes,
	// which is the work of one block. The number is odd so that the blocks of
	// all lanes, used at the same time, lie in different sets of the cache.
	maxBlocks = 17

	// minKernelBits is how few bits of a digest must be zero at a candidate
	// for a kernel to be of use: it looks at no fewer than 13, those in the
	// lowest two planes.
	minKernelBits = 13
)

const planeCount = 7

// planeShift is how far digests are shifted left before they are cut into
// planes, so that their top byte is a plane of its own.
const planeShift = 8*planeCount - degree

// wide is a register's worth of a repeated byte or matrix.
type wide = [8]uint64

// kernelTables are what a kernel has in the place of tables. The generator
// knows the order.
type kernelTables = [2*planeCount + 3]wide

const (
	modMatrices = 0              // one for each plane of what mod adds
	outMatrices = planeCount     // the same for out
	shiftLeft   = 2 * planeCount // the matrix for a byte's part in plane 0
	shiftRight  = shiftLeft + 1  // and in plane 1
	plane2Mask  = shiftLeft + 2  // which bits of plane 2 are zero at a candidate
)

// kernelHits has a word for each block, in which there is a bit for each lane.
// The first block is the windows in front of the lanes.
type kernelHits = [1 + maxBlocks]uint64

// planes finds candidates by a kernel. It is safe for concurrent use.
type planes struct {
	tables *tables
	kernel kernel
	mask   uint64
	wide   kernelTables
}

// kernelMemory is what one call of a kernel needs at a time. It is not part
// of planes, which many may use at the same time.
type kernelMemory struct {
	work [3 * 64 * blockSize]byte
	hits kernelHits
}

// newPlanes prepares the use of a kernel; mask has at least minKernelBits.
func newPlanes(t *tables, k kernel, mask uint64) *planes {
	p := &planes{tables: t, kernel: k, mask: mask}
	for i := range planeCount {
		p.wide[modMatrices+i] = planeMatrix(i, func(b uint64) uint64 { return t.mod[b] << planeShift })
		p.wide[outMatrices+i] = planeMatrix(i, func(b uint64) uint64 { return t.out[b] << planeShift })
	}
	p.wide[shiftLeft] = planeMatrix(0, func(b uint64) uint64 { return b << planeShift })
	p.wide[shiftRight] = planeMatrix(1, func(b uint64) uint64 { return b << planeShift })
	p.wide[plane2Mask] = repeat(uint64(uint8(mask<<planeShift>>16)) * 0x0101_0101_0101_0101)
	return p
}

// planeMatrix returns the matrix that takes a byte to byte number plane of
// f(byte), for a linear f. It is in the form of VGF2P8AFFINEQB: byte 7-i is
// row i, whose bits tell which bits of the argument are added up to bit i.
func planeMatrix(plane int, f func(uint64) uint64) wide {
	var m uint64
	for column := range 8 {
		v := uint8(f(1<<column) >> (8 * plane))
		for row := range 8 {
			m |= uint64(v>>row&1) << (8*(7-row) + column)
		}
	}
	return repeat(m)
}

func repeat(v uint64) (w wide) {
	for i := range w {
		w[i] = v
	}
	return w
}

// scanFirst returns the first candidate in (from, to], or -1. from is at least
// windowSize.
func (p *planes) scanFirst(memory *kernelMemory, buf []byte, from, to int) int {
	for {
		blocks := p.blocks(from, to)
		if blocks == 0 {
			return p.tables.scanFirst(buf, from, to, p.mask)
		}
		found := -1
		p.suspects(memory, buf, from, blocks, func(begin, end int) bool {
			found = p.tables.scanOne(buf, begin, end, p.mask)
			return found < 0
		})
		if found >= 0 {
			return found
		}
		from += blocks * blockSize * p.kernel.lanes
	}
}

// scanAll appends to dst all candidates in (from, to]. from is at least
// windowSize.
func (p *planes) scanAll(dst []int, memory *kernelMemory, buf []byte, from, to int) []int {
	for {
		blocks := p.blocks(from, to)
		if blocks == 0 {
			return p.tables.scanAll(dst, buf, from, to, p.mask)
		}
		p.suspects(memory, buf, from, blocks, func(begin, end int) bool {
			dst = p.tables.scanEach(dst, buf, begin, end, p.mask)
			return true
		})
		from += blocks * blockSize * p.kernel.lanes
	}
}

// blocks returns how many blocks of each lane one call should scan of what is
// left.
func (p *planes) blocks(from, to int) int {
	return max(0, min((to-from)/(blockSize*p.kernel.lanes), maxBlocks))
}

// suspects scans all lanes, of the given number of blocks, that follow from,
// and calls yield in ascending order with ranges (begin, end] outside of
// which there is no candidate, until it returns false.
func (p *planes) suspects(memory *kernelMemory, buf []byte, from, blocks int, yield func(begin, end int) bool) {
	laneSize := blocks * blockSize
	// What the assembly reads; it is checked here as it can't check.
	rows := buf[from-windowSize : from+p.kernel.lanes*laneSize]
	p.kernel.scan(&p.wide, &memory.work, &memory.hits, &rows[0], laneSize, 1+blocks)

	hits := memory.hits[1:][:blocks]
	var anywhere uint64
	for _, h := range hits {
		anywhere |= h
	}
	if anywhere == 0 {
		return
	}
	for lane := range p.kernel.lanes {
		for block := 0; block < blocks; block++ {
			first := block
			for block < blocks && hits[block]>>lane&1 != 0 {
				block++
			}
			begin := from + lane*laneSize + first*blockSize
			if block > first && !yield(begin, begin+(block-first)*blockSize) {
				return
			}
		}
	}
}
