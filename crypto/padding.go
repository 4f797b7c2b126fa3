package crypto

import (
	"crypto/sha256"
	"encoding/binary"
)

// initialState returns the state before the first block: the fractional parts
// of the square roots of the first eight primes (FIPS 180-4, 5.3.3).
func initialState() [8]uint32 {
	return [8]uint32{
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	}
}

// padded puts the end of a message of size bytes into buf, at most 119 bytes,
// and pads it with a one bit, zeros, and the size in bits (FIPS 180-4, 5.1.1).
// It returns the one or two blocks that this makes.
func padded(buf *[2 * sha256.BlockSize]byte, rest []byte, size int64) []byte {
	clear(buf[:])
	n := copy(buf[:], rest)
	buf[n] = 0x80
	end := sha256.BlockSize
	if n+9 > end {
		end = 2 * sha256.BlockSize
	}
	binary.BigEndian.PutUint64(buf[end-8:], uint64(size)*8)
	return buf[:end]
}

// stateID returns the ID that the state after the last block is.
func stateID(state *[8]uint32) ID {
	var id ID
	for i, word := range state {
		binary.BigEndian.PutUint32(id[4*i:], word)
	}
	return id
}
