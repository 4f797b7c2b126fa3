package scrypt

import "golang.org/x/sys/unix"

// memory is zeroed memory outside of the heap, so that it is gone when the key
// is there, and the garbage collector does not let the heap grow to its size.
type memory struct{ bytes []byte }

func allocate(size int) (memory, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return memory{}, err
	}
	// Blocks are read at random. This saves time where it is supported.
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	return memory{b}, nil
}

func (m memory) free() { _ = unix.Munmap(m.bytes) }
