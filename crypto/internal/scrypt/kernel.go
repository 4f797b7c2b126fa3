package scrypt

// width is how many lanes a kernel mixes at once.
const width = 4

// A step is what a kernel does in one call: for each lane l, the block at
// step[to][l] becomes BlockMix(block at step[from][l] xor block at step[with][l]).
// These are offsets in an arena, in bytes.
type step = [3][width]uint64

const (
	from = iota
	with
	to
)

// A kernel does a step with blocks of r times 128 bytes. The words of a block
// are in the order of [shuffle].
type kernel struct {
	name string
	mix  func(arena *byte, s *step, r int)
	// fetch has lines of 64 bytes from p on brought into the cache meanwhile.
	fetch func(p *byte, lines int)
}
