package scrypt

import "encoding/binary"

// A lane computes ROMix: it makes the blocks V[0] to V[n-1], each by BlockMix
// of the one before it, and then mixes the chain n times with one of them,
// whose number j is in the chain itself. If V[j] is not stored, it is computed
// again from the last block before it that is.
type lane struct {
	plan
	arena  []byte
	data   []byte    // input, and where the result goes
	v      uint64    // where V[0], V[stride], and so on are stored
	chains [2]uint64 // buffers of the chain
	agains [2]uint64 // buffers of the block that is computed again

	made  int    // so many blocks follow V[0] in the chain
	mixed int    // so often was the chain mixed with a V[j]
	chain uint64 // where the chain is
	found uint64 // where V[j], or a block before it, is
	ahead int    // V[j] is so many steps ahead of found; -1 while j is not known
}

// newLane returns the lane of a slot in its thread's arena.
func newLane(pl plan, arena []byte, slot int) *lane {
	size, end := uint64(pl.size()), pl.lane(slot+1)
	return &lane{
		plan: pl, arena: arena, v: pl.lane(slot),
		chains: [2]uint64{end - 4*size, end - 3*size},
		agains: [2]uint64{end - 2*size, end - size},
	}
}

// start begins to compute what replaces data.
func (l *lane) start(data []byte) {
	l.data, l.chain, l.made, l.mixed, l.ahead = data, l.v, 0, 0, -1
	shuffle(l.block(l.v), data)
}

// next returns the step to do: the blocks at from and with are mixed into the
// one at to.
func (l *lane) next() (from, with, to uint64) {
	switch {
	case l.made < l.n:
		l.made++
		from, l.chain = l.chain, l.home(l.made)
		return from, l.zeros(), l.chain
	case l.ahead > 0:
		l.ahead--
		from, l.found = l.found, l.agains[l.ahead%2]
		return from, l.zeros(), l.found
	default:
		l.mixed++
		l.ahead = -1
		from, l.chain = l.chain, l.chains[l.mixed%2]
		return from, l.found, l.chain
	}
}

// home is where V[i] is made. There is one more at the end, with which the
// mixing begins.
func (l *lane) home(i int) uint64 {
	if i < l.n && i%l.stride == 0 {
		return l.stored(i)
	}
	return l.chains[i%2]
}

// stored is where V[i] is stored, or the last one before it that is.
func (l *lane) stored(i int) uint64 {
	return l.v + uint64(i/l.stride)*uint64(l.size())
}

// settle is to be called after a step. It looks for j if the next step needs it
// and calls fetch with what that reads, or writes the result and reports that
// the lane is done.
func (l *lane) settle(fetch func(p *byte, lines int)) (done bool) {
	switch {
	case l.made < l.n || l.ahead >= 0:
		return false
	case l.mixed == l.n:
		unshuffle(l.data, l.block(l.chain))
		return true
	}
	last := l.block(l.chain)[l.size()-64:]
	j := int(binary.LittleEndian.Uint32(last)) & (l.n - 1)
	l.found, l.ahead = l.stored(j), j%l.stride
	fetch(&l.arena[l.found], min(l.size()/64, maxFetch))
	return false
}

// maxFetch is how many lines are fetched ahead. That others follow, the
// processor sees by itself.
const maxFetch = 32

func (l *lane) block(at uint64) []byte { return l.arena[at:][:l.size()] }

// shuffled is which word of a sub-block is stored at place i: the diagonals of
// the matrix of 4 by 4 words become its rows.
func shuffled(i int) int { return 5 * i % 16 }

// shuffle copies a block from the order of the format to that of the kernels.
func shuffle(dst, src []byte) {
	for ; len(src) > 0; dst, src = dst[64:], src[64:] {
		for i := range 16 {
			copy(dst[4*i:][:4], src[4*shuffled(i):])
		}
	}
}

// unshuffle is the reverse of shuffle.
func unshuffle(dst, src []byte) {
	for ; len(src) > 0; dst, src = dst[64:], src[64:] {
		for i := range 16 {
			copy(dst[4*shuffled(i):][:4], src[4*i:])
		}
	}
}
