package crypto

import (
	"crypto/sha256"

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

// sumLanes hashes a batch in up to laneCount lanes. Each lane has a message
// of its own; when it ends the lane takes the next one, and when there is none
// the lanes that are left go on with fewer. The digest comes first, as it is
// often the longest.
func sumLanes(b batch) {
	var l lanes
	if len(b.part) > 0 {
		l.lane[0] = lane{msg: digestPart, end: len(b.part)}
		l.states[0] = b.digest.state
		l.active = 1
	}
	next := 0
	for {
		for l.active < laneCount && next < len(b.msgs) {
			l.start(next, b.msgs[next])
			next++
		}
		if l.active == 0 {
			return
		}
		l.step(&b)
		l.finish(&b)
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
	end    int  // behind the last block
	padded bool // offset and end are in tail
	tail   [2 * sha256.BlockSize]byte
}

// digestPart in the place of a message's number is the part of the digest.
const digestPart = -1

// blocks returns the blocks that come next.
func (l *lane) blocks(b *batch) []byte {
	switch {
	case l.msg == digestPart:
		return b.part[l.offset:l.end]
	case l.padded:
		return l.tail[l.offset:l.end]
	}
	return b.msgs[l.msg][l.offset:l.end]
}

// pad goes on to the end of the message and its padding.
func (l *lane) pad(msg []byte) {
	l.end = len(padded(&l.tail, msg[l.offset:], int64(len(msg))))
	l.offset, l.padded = 0, true
}

// start begins a message in a free lane.
func (ls *lanes) start(number int, msg []byte) {
	ls.states[ls.active] = initialState()
	l := &ls.lane[ls.active]
	l.msg, l.offset, l.end, l.padded = number, 0, len(msg)&^(sha256.BlockSize-1), false
	if len(msg)+9 <= len(l.tail) {
		l.pad(msg) // at once, where it costs no further block
	}
	ls.active++
}

// step advances all active lanes by the same number of blocks, the most that
// every one of them has.
func (ls *lanes) step(batch *batch) {
	var data [laneCount]*byte
	n := maxBlocks
	for i := range ls.active {
		b := ls.lane[i].blocks(batch)
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
func (ls *lanes) finish(b *batch) {
	for i := ls.active - 1; i >= 0; i-- {
		l := &ls.lane[i]
		if l.offset < l.end {
			continue
		}
		switch {
		case l.msg == digestPart:
			b.digest.state = ls.states[i]
		case !l.padded:
			l.pad(b.msgs[l.msg])
			continue
		default:
			b.ids[l.msg] = stateID(&ls.states[i])
		}
		ls.active--
		ls.states[i], ls.lane[i] = ls.states[ls.active], ls.lane[ls.active]
	}
}
