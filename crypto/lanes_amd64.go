package crypto

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/klauspost/cpuid/v2"
)

//go:generate go run ./internal/gen -out sha256_amd64.s -stubs sha256_amd64.go -pkg crypto

// haveLanes reports whether sumLanes works here.
func haveLanes() bool { return cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4) }

const (
	// laneCount is how many messages the assembly hashes at once. Two keep the
	// processor's unit for SHA-256 busy.
	laneCount = 2
	// maxBlocks is how many blocks a lane does in one call. A goroutine can't be
	// preempted inside of it: it is about 20 microseconds.
	maxBlocks = 512
)

// sumLanes hashes messages in up to laneCount lanes. Each lane has a message
// of its own; when it ends the lane takes the next one, and when there is none
// the lanes that are left go on with fewer.
func sumLanes(ids []ID, msgs [][]byte) {
	var l lanes
	next := 0
	for {
		for l.active < laneCount && next < len(msgs) {
			l.start(next, msgs[next])
			next++
		}
		if l.active == 0 {
			return
		}
		l.step(msgs)
		l.finish(ids, msgs)
	}
}

// lanes holds the messages under way: those of the first active lanes. It
// has no pointers to messages or to itself, so that it stays on the stack.
type lanes struct {
	active int
	states [laneCount][8]uint32
	lane   [laneCount]lane
}

// lane is the place in one message. First it works on the message where it
// is, up to the last whole block, then on a padded copy of what remains.
type lane struct {
	msg    int  // which of the messages
	offset int  // of the next block, in the message or in tail
	end    int  // behind the last block; above offset
	padded bool // offset and end are in tail
	tail   [2 * sha256.BlockSize]byte
}

// blocks returns the blocks that come next.
func (l *lane) blocks(msgs [][]byte) []byte {
	if l.padded {
		return l.tail[l.offset:l.end]
	}
	return msgs[l.msg][l.offset:l.end]
}

// pad puts the end of the message and its padding into tail: a one bit,
// zeros, and the length in bits (FIPS 180-4, 5.1.1).
func (l *lane) pad(msg []byte) {
	clear(l.tail[:])
	n := copy(l.tail[:], msg[l.offset:])
	l.tail[n] = 0x80
	l.offset, l.end, l.padded = 0, sha256.BlockSize, true
	if n+9 > l.end {
		l.end = 2 * sha256.BlockSize
	}
	binary.BigEndian.PutUint64(l.tail[l.end-8:], uint64(len(msg))*8)
}

// start begins a message in a free lane.
func (ls *lanes) start(number int, msg []byte) {
	// Square roots of the first eight primes (FIPS 180-4, 5.3.3).
	ls.states[ls.active] = [8]uint32{
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	}
	l := &ls.lane[ls.active]
	l.msg, l.offset, l.end, l.padded = number, 0, len(msg)&^(sha256.BlockSize-1), false
	if len(msg)+9 <= len(l.tail) {
		l.pad(msg) // at once, where it costs no further block
	}
	ls.active++
}

// step advances all active lanes by the same number of blocks, the most that
// every one of them has.
func (ls *lanes) step(msgs [][]byte) {
	var data [laneCount]*byte
	n := maxBlocks
	for i := range ls.active {
		b := ls.lane[i].blocks(msgs)
		n = min(n, len(b)/sha256.BlockSize)
		data[i] = &b[0]
	}
	if ls.active == 1 {
		sha256Blocks1(&ls.states, &data, n)
	} else {
		sha256Blocks2(&ls.states, &data, n)
	}
	for i := range ls.active {
		ls.lane[i].offset += n * sha256.BlockSize
	}
}

// finish pads the messages that have no whole block left, and gives the IDs
// of those that were padded before. The last active lane moves into a lane
// that becomes free.
func (ls *lanes) finish(ids []ID, msgs [][]byte) {
	for i := ls.active - 1; i >= 0; i-- {
		l := &ls.lane[i]
		switch {
		case l.offset < l.end:
		case !l.padded:
			l.pad(msgs[l.msg])
		default:
			for j, word := range ls.states[i] {
				binary.BigEndian.PutUint32(ids[l.msg][4*j:], word)
			}
			ls.active--
			ls.states[i], ls.lane[i] = ls.states[ls.active], ls.lane[ls.active]
		}
	}
}
