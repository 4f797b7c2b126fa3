package chunk

import "golang.org/x/sys/cpu"

//go:generate go run ./internal/gen -out kernels_amd64.s -stubs kernels_amd64.go -pkg chunk

// kernels returns those that this machine can run, the fastest first.
func kernels() []kernel {
	var k []kernel
	if x := &cpu.X86; x.HasAVX512F && x.HasAVX512BW && x.HasAVX512GFNI {
		k = append(k, kernel{"avx512", 64, scanAVX512})
	}
	const leaf, gfni = 7, 1 << 8
	if cpu.X86.HasAVX2 && cpuid(leaf, 0)&gfni != 0 {
		k = append(k, kernel{"avx2", 32, scanAVX2})
	}
	return k
}
