package corpus

import (
	"encoding/binary"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
)

// random is a stream of numbers that the seed alone determines, in every
// release of Go: of math/rand/v2 it uses the PCG generator as such, whose
// numbers are specified, and none of the methods on top.
type random struct{ pcg *rand.PCG }

// seeded returns the stream for one thing: the corpus's seed, what it is, and
// which one of them.
func seeded(seed uint64, what string, number int) *random {
	h := fnv.New64a()
	h.Write([]byte(what))
	return &random{rand.NewPCG(seed^h.Sum64(), uint64(number)*0x9e3779b97f4a7c15+1)}
}

// below returns a number from 0 to n-1.
func (r *random) below(n int) int {
	hi, _ := bits.Mul64(r.pcg.Uint64(), uint64(n))
	return int(hi)
}

// between returns a number from low to high, both included.
func (r *random) between(low, high int) int { return low + r.below(high-low+1) }

// chance is true in n of 100 cases.
func (r *random) chance(n int) bool { return r.below(100) < n }

// few returns a number from 0 to n-1 of which small ones are far more likely,
// as words of a language are.
func (r *random) few(n int) int {
	a, b := r.below(n), r.below(n)
	return min(a, b, r.below(n)) * (1 + a&1) / 2
}

// pick returns one of the strings.
func (r *random) pick(list []string) string { return list[r.below(len(list))] }

// fill overwrites p with noise.
func (r *random) fill(p []byte) {
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, r.pcg.Uint64())
		p = p[8:]
	}
	if len(p) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], r.pcg.Uint64())
		copy(p, last[:])
	}
}
