package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A block is 64 bytes of each lane, a row of bytes per lane in memory. The
// scan needs its columns: the first bytes of all lanes, the second bytes, ...
//
// Seen as bits of an address, to transpose is to exchange the bits of the lane
// number with those of the column. Each instruction that takes two registers
// exchanges a bit of the register number with one of the place therein. The
// first pass does so for three bits of the lane number, eight rows at a time,
// the second for the rest; few registers suffice for both.

// rowsAtOnce is how many rows the first pass works on at a time.
const rowsAtOnce = 8

// transpose stores the columns of the block at k.row to columns.
func (k *kernel) transpose(columns Mem) {
	for part := 0; part < window; part += k.width() {
		k.transposeRows(part)
		k.transposeGroups(columns.Offset(part*k.width()), part)
	}
}

// transposeRows is the first pass, over as many columns as a register has
// bytes, from one on. It leaves groups of eight registers, one for each eight
// rows: register i of a group has, in each of its parts of 16 bytes, the eight
// bytes of column 2i of that part and then those of column 2i+1.
func (k *kernel) transposeRows(column int) {
	to := k.pointer(middle)
	row := GP64()
	LEAQ(k.row.Offset(column), row)
	stride3, stride5, stride7 := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: k.stride, Index: k.stride, Scale: 2}, stride3)
	LEAQ(Mem{Base: k.stride, Index: k.stride, Scale: 4}, stride5)
	LEAQ(Mem{Base: stride3, Index: k.stride, Scale: 4}, stride7)
	count(k.width()/rowsAtOnce, label("rows", column), func() {
		at := Mem{Base: row}
		v := make([]reg.VecVirtual, rowsAtOnce)
		for i, m := range []Mem{
			at, at.Idx(k.stride, 1), at.Idx(k.stride, 2), at.Idx(stride3, 1),
			at.Idx(k.stride, 4), at.Idx(stride5, 1), at.Idx(stride3, 2), at.Idx(stride7, 1),
		} {
			v[i] = k.vector()
			k.load(m, v[i])
		}
		for range 3 {
			v = k.interleave(v)
		}
		for i := range v {
			k.store(v[i], to.Offset(i*k.width()))
		}
		LEAQ(at.Idx(k.stride, 8), row)
		ADDQ(U32(rowsAtOnce*k.width()), to.Base)
	})
}

// interleave interleaves the bytes of each register of the first half with
// those of one of the second half. It rotates the address of each byte, that
// is the number of its register and its place in its 16 bytes, left by one bit.
func (k *kernel) interleave(v []reg.VecVirtual) []reg.VecVirtual {
	var out []reg.VecVirtual
	for i := range len(v) / 2 {
		a, b, low := v[i], v[i+len(v)/2], k.vector()
		VPUNPCKLBW(b, a, low)
		VPUNPCKHBW(b, a, a)
		out = append(out, low, a)
	}
	return out
}

// transposeGroups is the second pass. It takes register i of each group, for
// each i.
func (k *kernel) transposeGroups(columns Mem, column int) {
	from := k.pointer(middle)
	to := GP64()
	LEAQ(columns, to)
	groups := k.width() / rowsAtOnce
	count(rowsAtOnce, label("groups", column), func() {
		var even, odd []reg.VecVirtual
		for g := 0; g < groups; g += 2 {
			a, b, low := k.vector(), k.vector(), k.vector()
			k.load(from.Offset(g*rowsAtOnce*k.width()), a)
			k.load(from.Offset((g+1)*rowsAtOnce*k.width()), b)
			VPUNPCKLQDQ(b, a, low)
			VPUNPCKHQDQ(b, a, a)
			even, odd = append(even, low), append(odd, a)
		}
		for i, v := range k.transposeLanes(even) {
			k.store(v, Mem{Base: to, Disp: 16 * i * k.width()})
		}
		for i, v := range k.transposeLanes(odd) {
			k.store(v, Mem{Base: to, Disp: (16*i + 1) * k.width()})
		}
		ADDQ(U8(k.width()), from.Base)
		ADDQ(U8(2*k.width()), to)
	})
}

func label(name string, column int) string {
	if column == 0 {
		return name
	}
	return name + "_second_half"
}
