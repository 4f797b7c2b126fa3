package scrypt

import "golang.org/x/sys/cpu"

//go:generate go run ./gen -out mix_amd64.s -stubs mix_amd64.go -pkg scrypt

// kernels returns those that this processor has, the fastest one first.
func kernels() []kernel {
	var list []kernel
	if cpu.X86.HasAVX512F {
		list = append(list, kernel{"AVX512", mixAVX512, fetch})
	}
	if cpu.X86.HasAVX2 {
		list = append(list, kernel{"AVX2", mixAVX2, fetch})
	}
	return list
}
