// Command gen writes the assembly of package scrypt. Run it by
// go generate ./crypto/internal/scrypt.
//
// A function does a step of four independent lanes. What takes the time is
// Salsa20/8, in which each addition, rotation and exclusive or waits for the
// one before it, so four chains at once take hardly longer than one.
//
// # Arrangement
//
// The 16 words of a sub-block are stored in the order of the diagonals: word
// 5*i%16 of the format is at place i. So the four 128-bit rows of a sub-block
// are the four operands of Salsa20's quarter round, and the four quarter rounds
// of a round are done at once. Between a round over columns and one over rows,
// three of the rows turn by one to three words. The chain does not wait for
// that: what the next round needs first is the row that does not turn.
//
// A register holds the same row of as many lanes as fit.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// width is how many lanes a function mixes. The type step of package scrypt
// has as many.
const width = 4

func main() {
	ConstraintExpr("amd64")
	generate("mixAVX512", avx512{})
	generate("mixAVX2", avx2{})
	fetch()
	Generate()
}

// fetch writes the function that fetches what the next step reads at random.
// Else a step would wait for its first lines before it asks for the others.
func fetch() {
	TEXT("fetch", NOSPLIT, "func(p *byte, lines int)")
	Doc("fetch has lines of 64 bytes from p on brought into the cache, and does not",
		"wait for them. There must be at least one.")
	Pragma("noescape")
	p := Mem{Base: Load(Param("p"), GP64())}
	lines := Load(Param("lines"), GP64())
	Label("line")
	PREFETCHT0(p)
	ADDQ(U8(64), p.Base)
	DECQ(lines)
	JNE(LabelRef("line"))
	RET()
}

// rows are the rows of a sub-block, for the lanes of one register.
type rows [4]reg.VecVirtual

// A kernel is the state of a function that is being written.
type kernel struct {
	isa
	a, b [width]reg.GPVirtual // ends of the blocks to mix
	in   reg.GPVirtual        // the sub-block, counted from the ends
	dst  Mem                  // addresses of the results, on the stack
	kept Mem                  // room for the chain, on the stack
	x    []rows               // the chain, for each register of lanes
}

func generate(name string, set isa) {
	TEXT(name, NOSPLIT, "func(arena *byte, s *[3][4]uint64, r int)")
	Doc(name+" does a step of each lane, with blocks of r times 128 bytes. Where a",
		"step stores must not overlap what it reads.")
	Pragma("noescape")
	k := kernel{isa: set, in: GP64(), dst: AllocLocal(width * 8), kept: AllocLocal(width * 64)}
	for range width / k.lanes() {
		k.x = append(k.x, rows{k.register(), k.register(), k.register(), k.register()})
	}
	size := k.arguments()

	Comment("The chain begins with the last sub-block.")
	MOVQ(I32(-64), k.in)
	k.load(k.xor)

	Comment("Sub-blocks of even number go to the first half of the result, the others to the second.")
	even, odd := GP64(), GP64()
	XORQ(even, even)
	MOVQ(size, odd)
	SHRQ(U8(1), odd)
	NEGQ(size)
	MOVQ(size, k.in)
	Label("loop")
	k.subBlock(even)
	k.subBlock(odd)
	JNE(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// arguments loads the arguments of the function and returns the size of a block.
func (k *kernel) arguments() (size reg.Register) {
	arena := Load(Param("arena"), GP64())
	step := Mem{Base: Load(Param("s"), GP64())}
	size = Load(Param("r"), GP64())
	SHLQ(U8(7), size)
	for l := range width {
		dst := GP64()
		MOVQ(step.Offset(8*(2*width+l)), dst)
		ADDQ(arena, dst)
		MOVQ(dst, k.dst.Offset(8*l))
	}
	ADDQ(size, arena)
	for l := range width {
		k.a[l], k.b[l] = GP64(), GP64()
		MOVQ(step.Offset(8*l), k.a[l])
		ADDQ(arena, k.a[l])
		MOVQ(step.Offset(8*(width+l)), k.b[l])
		ADDQ(arena, k.b[l])
	}
	return size
}

// load calls use with each row of the chain and the same row of the sub-blocks
// of a and b.
func (k *kernel) load(use func(row, a, b reg.VecVirtual)) {
	n := k.lanes()
	for g, x := range k.x {
		for i, row := range x {
			a, b := k.register(), k.register()
			k.gather(k.a[g*n:][:n], k.in, 16*i, a)
			k.gather(k.b[g*n:][:n], k.in, 16*i, b)
			use(row, a, b)
		}
	}
}

// subBlock mixes the next sub-block into the chain, stores the result out
// bytes behind where each lane's begins, and goes on. It leaves the zero flag
// set when that was the last one.
func (k *kernel) subBlock(out reg.GPVirtual) {
	k.load(k.xor3)
	before := make([][4]Op, len(k.x))
	for g, x := range k.x {
		for i, row := range x {
			before[g][i] = k.keep(row, k.kept.Offset(4*4*k.lanes()*(4*g+i)))
		}
	}
	for range 4 {
		k.round(0, 1, 2, 3)
		k.round(0, 3, 2, 1)
	}
	for g, x := range k.x {
		for i, row := range x {
			VPADDD(before[g][i], row, row)
		}
	}
	for l := range width {
		dst := GP64()
		MOVQ(k.dst.Offset(8*l), dst)
		for i, row := range k.x[l/k.lanes()] {
			k.scatter(row, l%k.lanes(), Mem{Base: dst, Index: out, Scale: 1, Disp: 16 * i})
		}
	}
	ADDQ(U8(64), out)
	ADDQ(U8(64), k.in)
}

// round does quarter rounds with the rows in the order given, and turns them
// for the next round, which takes d for b and b for d.
func (k *kernel) round(a, b, c, d int) {
	k.quarter(b, a, d, 7)
	k.quarter(c, b, a, 9)
	k.quarter(d, c, b, 13)
	k.quarter(a, d, c, 18)
	for _, x := range k.x {
		VPSHUFD(U8(0x93), x[b], x[b])
		VPSHUFD(U8(0x4e), x[c], x[c])
		VPSHUFD(U8(0x39), x[d], x[d])
	}
}

// quarter is to ^= p+q <<< n.
func (k *kernel) quarter(to, p, q int, n uint8) {
	sums := make([]reg.VecVirtual, len(k.x))
	for g, x := range k.x {
		sums[g] = k.register()
		VPADDD(x[p], x[q], sums[g])
	}
	for g, x := range k.x {
		k.xorRotated(sums[g], n, x[to])
	}
}
