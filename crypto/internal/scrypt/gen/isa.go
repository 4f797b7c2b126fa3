package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An isa is a set of vector instructions.
type isa interface {
	// lanes is how many rows of 16 bytes a register holds.
	lanes() int
	register() reg.VecVirtual
	// gather loads the row at from[l]+index+disp of each lane l.
	gather(from []reg.GPVirtual, index reg.Register, disp int, to reg.VecVirtual)
	// scatter stores the row of one lane..
	scatter(row reg.VecVirtual, lane int, to Mem)
	// keep returns a copy of the row, in a register or in room.
	keep(row reg.VecVirtual, room Mem) Op
	// xor is row = a ^ b, xor3 is row ^= a ^ b, which may spoil a.
	xor(row, a, b reg.VecVirtual)
	xor3(row, a, b reg.VecVirtual)
	// xorRotated is row ^= sum <<< n, for each word. It spoils sum.
	xorRotated(sum reg.VecVirtual, n uint8, row reg.VecVirtual)
}

// avx512 needs AVX-512F.
type avx512 struct{}

func (avx512) lanes() int               { return 4 }
func (avx512) register() reg.VecVirtual { return ZMM() }

func (avx512) gather(from []reg.GPVirtual, index reg.Register, disp int, to reg.VecVirtual) {
	VBROADCASTI32X4(Mem{Base: from[0], Index: index, Scale: 1, Disp: disp}, to)
	for l, p := range from[1:] {
		VINSERTI32X4(U8(l+1), Mem{Base: p, Index: index, Scale: 1, Disp: disp}, to, to)
	}
}

func (avx512) scatter(row reg.VecVirtual, lane int, to Mem) {
	if lane == 0 {
		VMOVDQU(row.AsX(), to)
		return
	}
	VEXTRACTI32X4(U8(lane), row, to)
}

func (avx512) keep(row reg.VecVirtual, _ Mem) Op {
	z := ZMM()
	VMOVDQA64(row, z)
	return z
}

func (avx512) xor(row, a, b reg.VecVirtual)  { VPXORD(a, b, row) }
func (avx512) xor3(row, a, b reg.VecVirtual) { VPTERNLOGD(U8(0x96), a, b, row) }

func (avx512) xorRotated(sum reg.VecVirtual, n uint8, row reg.VecVirtual) {
	VPROLD(U8(n), sum, sum)
	VPXORD(sum, row, row)
}

// avx2 needs AVX2. It has no rotation and too few registers to keep a row.
type avx2 struct{}

func (avx2) lanes() int               { return 2 }
func (avx2) register() reg.VecVirtual { return YMM() }

func (avx2) gather(from []reg.GPVirtual, index reg.Register, disp int, to reg.VecVirtual) {
	VBROADCASTI128(Mem{Base: from[0], Index: index, Scale: 1, Disp: disp}, to)
	VINSERTI128(U8(1), Mem{Base: from[1], Index: index, Scale: 1, Disp: disp}, to, to)
}

func (avx2) scatter(row reg.VecVirtual, lane int, to Mem) {
	if lane == 0 {
		VMOVDQU(row.AsX(), to)
		return
	}
	VEXTRACTI128(U8(lane), row, to)
}

func (avx2) keep(row reg.VecVirtual, room Mem) Op {
	VMOVDQU(row, room)
	return room
}

func (avx2) xor(row, a, b reg.VecVirtual) { VPXOR(a, b, row) }

func (avx2) xor3(row, a, b reg.VecVirtual) {
	VPXOR(a, b, a)
	VPXOR(a, row, row)
}

func (avx2) xorRotated(sum reg.VecVirtual, n uint8, row reg.VecVirtual) {
	left := YMM()
	VPSLLD(U8(n), sum, left)
	VPSRLD(U8(32-n), sum, sum)
	VPXOR(left, row, row)
	VPXOR(sum, row, row)
}
