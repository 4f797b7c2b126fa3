// Command gen writes the assembly of package crypto that hashes several
// messages at once:
//
//	go generate ./crypto
//
// One SHA-256 stream on the SHA extensions waits for a quarter of the time, as
// each SHA256RNDS2 needs the result of the one before it. The functions here
// work on blocks of two independent messages in one stream of instructions, so
// that the rounds of one fill the waits of the other. More than two find no
// waits left: on a Xeon (Sapphire Rapids) a SHA256RNDS2 takes 1.05 ns, and
// independent ones begin 0.75 ns apart, whether there are two chains or four. A
// block has 32 of them, which makes 2.6 GB/s the limit.
package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	t := tables{k: roundConstants(), swap: byteSwap()}
	for n := 1; n <= 2; n++ {
		blocks(n, t)
	}
	build.Generate()
}

// tables are the constants in the data section.
type tables struct{ k, swap operand.Mem }

// roundConstants are the first 32 bits of the fractional parts of the cube
// roots of the first 64 primes (FIPS 180-4, 4.2.2).
func roundConstants() operand.Mem {
	m := build.GLOBL("sha256K", build.RODATA|build.NOPTR)
	for i, k := range [64]uint32{
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
		0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
		0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
		0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
		0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	} {
		build.DATA(4*i, operand.U32(k))
	}
	return m
}

// byteSwap turns the big-endian words of a message into numbers.
func byteSwap() operand.Mem {
	m := build.GLOBL("sha256Swap", build.RODATA|build.NOPTR)
	build.DATA(0, operand.U64(0x0405060700010203))
	build.DATA(8, operand.U64(0x0c0d0e0f08090a0b))
	return m
}

// A lane is where one message lives. The registers of all lanes are distinct;
// X0 is the operand that SHA256RNDS2 takes its words from.
type lane struct {
	data       reg.GPPhysical // the next block
	abef, cdgh reg.VecPhysical
	words      [4]reg.VecPhysical // the newest sixteen: those of group g at g mod 4
	state      operand.Mem
}

// lanes are as many as the registers suffice for.
var lanes = [2]lane{
	{data: reg.R8, abef: reg.X1, cdgh: reg.X2, words: [4]reg.VecPhysical{reg.X3, reg.X4, reg.X5, reg.X6},
		state: operand.Mem{Base: reg.RDI}},
	{data: reg.R9, abef: reg.X7, cdgh: reg.X8, words: [4]reg.VecPhysical{reg.X9, reg.X10, reg.X11, reg.X12},
		state: operand.Mem{Base: reg.RDI, Disp: 32}},
}

var (
	spare = reg.X13
	swap  = reg.X14
	count = reg.RCX
)

// blocks writes the function that hashes whole blocks of n messages. While it
// runs, the memory of the states holds them in the order of the instructions.
func blocks(n int, t tables) {
	build.TEXT(fmt.Sprintf("sha256Blocks%d", n), build.NOSPLIT, "func(states *[2][8]uint32, data *[2]*byte, n int)")
	build.Pragma("noescape")
	build.Doc(fmt.Sprintf("sha256Blocks%d adds n > 0 blocks from each of the first %d of data to their states.", n, n))
	build.Load(build.Param("states"), reg.RDI)
	build.Load(build.Param("data"), reg.RSI)
	build.Load(build.Param("n"), count)
	build.MOVOU(t.swap, swap)
	active := lanes[:n]
	for i, l := range active {
		build.MOVQ(operand.Mem{Base: reg.RSI, Disp: 8 * i}, l.data)
		l.loadState()
	}
	build.Label("block")
	for _, l := range active {
		l.startBlock()
	}
	for group := range 16 {
		for _, l := range active {
			l.rounds(group, t)
		}
	}
	for _, l := range active {
		l.addState()
	}
	build.DECQ(count)
	build.JNZ(operand.LabelRef("block"))
	for _, l := range active {
		l.storeState()
	}
	build.RET()
}

// startBlock loads a block and remembers the state before it.
func (l lane) startBlock() {
	build.MOVOU(l.abef, l.state)
	build.MOVOU(l.cdgh, l.state.Offset(16))
	for i, w := range l.words {
		build.MOVOU(operand.Mem{Base: l.data, Disp: 16 * i}, w)
		build.PSHUFB(swap, w)
	}
	build.ADDQ(operand.Imm(64), l.data)
}

// rounds does four rounds, and computes the words of the group four further
// on in the place of those of this one:
//
//	w[g+4] = msg2(msg1(w[g], w[g+1]) + (w[g+3]:w[g+2] >> 32), w[g+3])
func (l lane) rounds(group int, t tables) {
	word := func(i int) reg.VecPhysical { return l.words[(group+i)%4] }
	build.MOVOU(t.k.Offset(16*group), reg.X0)
	build.PADDD(word(0), reg.X0)
	build.SHA256RNDS2(reg.X0, l.abef, l.cdgh)
	build.PSHUFD(operand.Imm(0x0e), reg.X0, reg.X0)
	build.SHA256RNDS2(reg.X0, l.cdgh, l.abef)
	if group >= 12 {
		return
	}
	build.SHA256MSG1(word(1), word(0))
	build.MOVO(word(3), spare)
	build.PALIGNR(operand.Imm(4), word(2), spare)
	build.PADDD(spare, word(0))
	build.SHA256MSG2(word(3), word(0))
}

// addState adds the state before the block.
func (l lane) addState() {
	build.MOVOU(l.state, spare)
	build.PADDD(spare, l.abef)
	build.MOVOU(l.state.Offset(16), spare)
	build.PADDD(spare, l.cdgh)
}

// loadState brings a state, which is in the order of the standard, into the
// order that the instructions want.
func (l lane) loadState() {
	build.MOVOU(l.state, spare)             // d c b a
	build.MOVOU(l.state.Offset(16), l.cdgh) // h g f e
	build.PSHUFD(operand.Imm(0xb1), spare, spare)
	build.PSHUFD(operand.Imm(0x1b), l.cdgh, l.cdgh)
	build.MOVO(spare, l.abef)
	build.PALIGNR(operand.Imm(8), l.cdgh, l.abef)
	build.PBLENDW(operand.Imm(0xf0), spare, l.cdgh)
}

// storeState is the way back. It destroys the state.
func (l lane) storeState() {
	build.PSHUFD(operand.Imm(0x1b), l.abef, l.abef)
	build.PSHUFD(operand.Imm(0xb1), l.cdgh, l.cdgh)
	build.MOVO(l.abef, spare)
	build.PBLENDW(operand.Imm(0xf0), l.cdgh, spare)
	build.PALIGNR(operand.Imm(8), l.abef, l.cdgh)
	build.MOVOU(spare, l.state)
	build.MOVOU(l.cdgh, l.state.Offset(16))
}
