// Command gen writes the assembly of package chunk, which finds cut points in
// many regions of a buffer at once. Run it by go generate ./chunk.
//
// # Planes
//
// The digest of a window is a polynomial over GF(2) of degree below 53, and
// one step of the scan is
//
//	digest = digest * x^8 + in + old * x^512   (mod P)
//
// for the byte that enters and the one that leaves the window. There are as
// many lanes as a register has bytes: lane i is a region of the buffer, and
// byte i of each register belongs to it. The digests are held as byte planes:
// plane k is the register with byte k of each lane's digest. They are held
// shifted left by 3, as 53 bits and 3 are seven whole bytes: the top byte of
// the digest, which the step reduces, is a plane of its own, and to multiply
// by x^8 is to count the planes from one higher.
//
// # Tables without look-ups
//
// What the two tables of the plain version add depends linearly on the byte
// they are indexed with: f(a + b) = f(a) + f(b), as a remainder modulo P does.
// So each byte of what they add is an 8 by 8 matrix of bits times the index,
// which is what the instruction VGF2P8AFFINEQB computes for a register of
// bytes. Seven planes by two tables are 14 of them a step. Two more shift the
// byte that enters left by 3, which spreads it over planes 0 and 1.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	cpuid()
	(&kernel{isa: avx512{}, name: "scanAVX512"}).generate()
	(&kernel{isa: avx2{}, name: "scanAVX2"}).generate()
	Generate()
}

// cpuid writes the function that asks the processor for what package
// golang.org/x/sys/cpu does not report.
func cpuid() {
	TEXT("cpuid", NOSPLIT, "func(leaf, subleaf uint32) (ecx uint32)")
	Doc("cpuid returns what the instruction CPUID leaves in the register ECX.")
	Load(Param("leaf"), reg.EAX)
	Load(Param("subleaf"), reg.ECX)
	CPUID()
	Store(reg.ECX, ReturnIndex(0))
	RET()
}
