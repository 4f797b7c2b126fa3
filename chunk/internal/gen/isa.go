package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is what the kernels for different instruction sets differ in. Operands
// come in the order of the Go assembler, the destination last.
type isa interface {
	// width is how many bytes a register has, and so how many lanes there are.
	width() int
	vector() reg.VecVirtual
	load(m Mem, v reg.Register)
	store(v reg.Register, m Mem)
	move(from, to reg.Register)
	zero(v reg.Register)
	// ones sets all bits.
	ones(v reg.Register)
	// constant returns what serves as the operand for a constant in memory
	// throughout the kernel: a register if there are enough of them.
	constant(m Mem) Op
	// add adds a to v, and add2 a and b: addition is exclusive or here. a is
	// lost.
	add(a, v reg.Register)
	add2(a, b, v reg.Register)
	// orAnd sets v to v | a | b&mask.
	orAnd(mask Mem, a, b, v reg.Register)
	// zeroBytes stores at m a bit for each byte of v that is zero.
	zeroBytes(v reg.Register, m Mem)
	// transposeLanes takes width/16 registers of as many parts of 16 bytes
	// and returns the registers with the first parts of all, the second
	// parts, ...
	transposeLanes(v []reg.VecVirtual) []reg.VecVirtual
}

// avx512 has 32 registers of 64 bytes.
type avx512 struct{}

func (avx512) width() int                  { return 64 }
func (avx512) vector() reg.VecVirtual      { return ZMM() }
func (avx512) load(m Mem, v reg.Register)  { VMOVDQU64(m, v) }
func (avx512) store(v reg.Register, m Mem) { VMOVDQU64(v, m) }
func (avx512) move(from, to reg.Register)  { VMOVDQA64(from, to) }
func (avx512) zero(v reg.Register)         { VPXORQ(v, v, v) }
func (avx512) ones(v reg.Register)         { VPTERNLOGQ(U8(0xff), v, v, v) }

func (avx512) constant(m Mem) Op {
	v := ZMM()
	VMOVDQU64(m, v)
	return v
}

// The immediate byte of VPTERNLOGQ is the truth table: bit 4*v+2*b+a, with v
// the destination and a the first operand here.
const (
	ternaryXor   = 0b1001_0110
	ternaryOrAnd = 0b1111_1000 // v | b&a
)

func (avx512) add(a, v reg.Register)     { VPXORQ(a, v, v) }
func (avx512) add2(a, b, v reg.Register) { VPTERNLOGQ(U8(ternaryXor), a, b, v) }

func (avx512) orAnd(mask Mem, a, b, v reg.Register) {
	VPTERNLOGQ(U8(ternaryOrAnd), mask, b, v)
	VPORQ(a, v, v)
}

func (avx512) zeroBytes(v reg.Register, m Mem) {
	k := K()
	VPTESTNMB(v, v, k)
	KMOVQ(k, m)
}

func (avx512) transposeLanes(v []reg.VecVirtual) []reg.VecVirtual {
	// Two parts of one register and two of another, chosen by two bits each.
	const parts01, parts23, parts02, parts13 = 0b01_00_01_00, 0b11_10_11_10, 0b10_00_10_00, 0b11_01_11_01
	pick := func(parts uint8, a, b reg.VecVirtual) reg.VecVirtual {
		to := ZMM()
		VSHUFI64X2(U8(parts), b, a, to)
		return to
	}
	a, b := pick(parts01, v[0], v[1]), pick(parts01, v[2], v[3])
	c, d := pick(parts23, v[0], v[1]), pick(parts23, v[2], v[3])
	return []reg.VecVirtual{pick(parts02, a, b), pick(parts13, a, b), pick(parts02, c, d), pick(parts13, c, d)}
}

// avx2 has 16 registers of 32 bytes, too few to keep the constants.
type avx2 struct{}

func (avx2) width() int                  { return 32 }
func (avx2) vector() reg.VecVirtual      { return YMM() }
func (avx2) load(m Mem, v reg.Register)  { VMOVDQU(m, v) }
func (avx2) store(v reg.Register, m Mem) { VMOVDQU(v, m) }
func (avx2) move(from, to reg.Register)  { VMOVDQA(from, to) }
func (avx2) zero(v reg.Register)         { VPXOR(v, v, v) }
func (avx2) ones(v reg.Register)         { VPCMPEQB(v, v, v) }
func (avx2) constant(m Mem) Op           { return m }

func (avx2) add(a, v reg.Register) { VPXOR(a, v, v) }

func (avx2) add2(a, b, v reg.Register) {
	VPXOR(a, b, a)
	VPXOR(a, v, v)
}

func (avx2) orAnd(mask Mem, a, b, v reg.Register) {
	masked := YMM()
	VPAND(mask, b, masked)
	VPOR(a, v, v)
	VPOR(masked, v, v)
}

func (avx2) zeroBytes(v reg.Register, m Mem) {
	zero, bits := YMM(), GP64()
	VPXOR(zero, zero, zero)
	VPCMPEQB(v, zero, zero)
	VPMOVMSKB(zero, bits.As32())
	MOVQ(bits, m)
}

func (avx2) transposeLanes(v []reg.VecVirtual) []reg.VecVirtual {
	low, high := YMM(), YMM()
	VPERM2I128(U8(0x20), v[1], v[0], low)
	VPERM2I128(U8(0x31), v[1], v[0], high)
	return []reg.VecVirtual{low, high}
}
