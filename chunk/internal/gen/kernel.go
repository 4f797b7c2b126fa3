package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	planes = 7
	// window is the size of the window, and also how much of each lane a
	// block has: so the bytes that leave the windows in one block are those
	// that entered in the block before.
	window = 64
)

// Layout of the argument tables: registers' worth of a matrix or byte, of 64
// bytes each. The counterpart is type kernelTables of package chunk.
const (
	modMatrices = 0
	outMatrices = 64 * planes
	shiftLeft   = 64 * 2 * planes
	shiftRight  = 64 * (2*planes + 1)
	plane2Mask  = 64 * (2*planes + 2)
)

// Layout of the argument memory.
const (
	columnsA = 64 * window * iota
	columnsB
	middle
)

// kernel writes one function.
type kernel struct {
	isa
	name string

	tables, memory Mem // arguments
	row            Mem // the current block of lane 0
	stride         reg.GPVirtual
	mod, out       [planes]Op // the matrices of the tables
}

// generate writes the whole function.
func (k *kernel) generate() {
	TEXT(k.name, NOSPLIT, "func(tables *[17][8]uint64, memory *[12288]byte, hits *[18]uint64, rows *byte, stride, blocks int)")
	Doc(
		k.name+" scans lanes that begin at rows and every stride bytes from there,",
		"in blocks of 64 bytes, and sets a bit in hits[block] for each lane",
		"that may have a candidate in the block. The first block is the window",
		"before the first position; its hits mean nothing.",
	)
	Pragma("noescape")
	k.tables = Mem{Base: Load(Param("tables"), GP64())}
	k.memory = Mem{Base: Load(Param("memory"), GP64())}
	hits := Mem{Base: Load(Param("hits"), GP64())}
	k.row = Mem{Base: Load(Param("rows"), GP64())}
	k.stride = Load(Param("stride"), GP64()).(reg.GPVirtual)
	blocks := Load(Param("blocks"), GP64())
	for i := range planes {
		k.mod[i] = k.constant(k.tables.Offset(modMatrices + 64*i))
		k.out[i] = k.constant(k.tables.Offset(outMatrices + 64*i))
	}
	digest := k.emptyWindow()
	now, before := k.pointer(columnsA), k.pointer(columnsB)

	Label("block")
	k.transpose(now)
	k.scan(digest, now, before, hits)
	XCHGQ(now.Base, before.Base)
	ADDQ(U8(window), k.row.Base)
	ADDQ(U8(8), hits.Base)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// pointer returns a register that points into the memory of the kernel.
func (k *kernel) pointer(offset int) Mem {
	p := GP64()
	LEAQ(k.memory.Offset(offset), p)
	return Mem{Base: p}
}

// emptyWindow clears the digests and the bytes that leave the windows in the
// first block: zeros add nothing.
func (k *kernel) emptyWindow() (digest [planes]reg.VecVirtual) {
	for i := range digest {
		digest[i] = k.vector()
		k.zero(digest[i])
	}
	at := k.pointer(columnsB)
	count(window/8, "clear", func() {
		for i := range 8 {
			k.store(digest[0], at.Offset(i*k.width()))
		}
		ADDQ(U32(8*k.width()), at.Base)
	})
	return digest
}

// count runs body n times.
func count(n int, label string, body func()) {
	left := GP64()
	MOVQ(U32(n), left)
	Label(label)
	body()
	DECQ(left)
	JNZ(LabelRef(label))
}

// scan takes the digests over a block, whose columns are now and those of the
// block before before, and stores which lanes hit.
func (k *kernel) scan(digest [planes]reg.VecVirtual, now, before, hits Mem) {
	// The least byte of each lane that is looked at for a candidate: it is
	// zero in the end if any of them was.
	least := k.vector()
	k.ones(least)
	in, old := GP64(), GP64()
	MOVQ(now.Base, in)
	MOVQ(before.Base, old)
	// More steps than planes: then none of the registers at the end is one of
	// the beginning, and they can be moved in any order.
	const unrolled = 8
	count(window/unrolled, "step", func() {
		d := digest
		for i := range unrolled {
			offset := i * k.width()
			d = k.step(d, Mem{Base: in, Disp: offset}, Mem{Base: old, Disp: offset})
			k.look(d, least)
		}
		for i := range d {
			k.move(d[i], digest[i])
		}
		ADDQ(U32(unrolled*k.width()), in)
		ADDQ(U32(unrolled*k.width()), old)
	})
	k.zeroBytes(least, hits)
}

// step takes the digests over one byte of each lane. The registers of the
// planes stay where they are and change their number; the top one is free in
// the end.
func (k *kernel) step(d [planes]reg.VecVirtual, inAt, oldAt Mem) (next [planes]reg.VecVirtual) {
	in, old, top := k.vector(), k.vector(), d[planes-1]
	k.load(inAt, in)
	k.load(oldAt, old)
	next[0] = k.affine(k.tables.Offset(shiftLeft), in)
	copy(next[1:], d[:])
	k.add(k.affine(k.tables.Offset(shiftRight), in), next[1])
	for i, sum := range next {
		k.add2(k.affine(k.out[i], old), k.affine(k.mod[i], top), sum)
	}
	return next
}

// affine multiplies each byte of v by a matrix.
func (k *kernel) affine(matrix Op, v reg.VecVirtual) reg.VecVirtual {
	to := k.vector()
	VGF2P8AFFINEQB(U8(0), matrix, v, to)
	return to
}

// look takes note of the lanes whose digests end in zeros. 21 bits of them
// are in the planes 0 to 2.
func (k *kernel) look(d [planes]reg.VecVirtual, least reg.VecVirtual) {
	z := k.vector()
	k.move(d[0], z)
	k.orAnd(k.tables.Offset(plane2Mask), d[1], d[2], z)
	VPMINUB(z, least, least)
}
