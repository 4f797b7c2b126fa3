//go:build !linux

package scrypt

// memory is zeroed memory.
type memory struct{ bytes []byte }

func allocate(size int) (memory, error) { return memory{make([]byte, size)}, nil }

func (m memory) free() {}
