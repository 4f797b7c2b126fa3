package scrypt

const (
	// maxThreads bounds the processors in use: more lanes at once make each of
	// them slower, as less of it is stored.
	maxThreads = 2
	// buffers is how many blocks a lane needs besides those that it stores: the
	// chain and a block that is computed again, where they are and where they
	// go.
	buffers = 4
)

// A plan is how the lanes of a derivation share memory and processors.
type plan struct {
	n, r, p int // scrypt's parameters
	threads int
	slots   int // lanes at once, in all threads
	// Of the n blocks of a lane those are stored whose number is divisible by
	// stride. It is the number of slots, so all of them together store as many
	// blocks as one lane by the book.
	stride int
}

// newPlan computes all lanes in as few rounds as possible, and of those as few
// at once as that takes. That is the fastest: with s lanes at once a round is
// n*(2+(s-1)/2) steps, but in a step a thread does width lanes in the time of
// one.
func newPlan(n, r, p, processors int) plan {
	rounds := ceil(p, width*min(processors, maxThreads))
	slots := ceil(p, rounds)
	return plan{n: n, r: r, p: p, threads: ceil(slots, width), slots: slots, stride: slots}
}

func ceil(a, b int) int { return (a + b - 1) / b }

// slotsOf is how many of the slots a thread has.
func (pl plan) slotsOf(thread int) int { return (pl.slots + thread) / pl.threads }

// size is the length of a block in bytes.
func (pl plan) size() int { return 128 * pl.r }

// A thread's arena is a block of zeros, one that nobody reads, and then the
// blocks of its lanes.

func (pl plan) zeros() uint64   { return 0 }
func (pl plan) scratch() uint64 { return uint64(pl.size()) }

// lane is where the blocks of a slot's lane begin.
func (pl plan) lane(slot int) uint64 {
	return uint64(2+slot*(ceil(pl.n, pl.stride)+buffers)) * uint64(pl.size())
}

// arena is how many bytes a thread with so many slots needs.
func (pl plan) arena(slots int) int { return int(pl.lane(slots)) }
