package crypto

import "crypto/sha256"

// Hasher computes the IDs of several independent messages in one call, which
// is faster than one after the other where the processor allows it. It has no state, so it is safe for concurrent use. The zero Hasher works
// on every machine, one message at a time.
type Hasher struct{ lanes bool }

// NewHasher returns the fastest Hasher for this machine.
func NewHasher() Hasher { return Hasher{lanes: haveLanes()} }

// Sum sets ids[i] to the ID of msgs[i]; both have the same length. It is
// fastest if no message is longer than all others together.
func (h Hasher) Sum(ids []ID, msgs [][]byte) {
	if h.lanes && len(msgs) > 1 {
		sumLanes(batch{ids: ids, msgs: msgs})
		return
	}
	for i, m := range msgs {
		ids[i] = sha256.Sum256(m)
	}
}

// SumBeside is Sum, and writes p to d at the same time.
func (h Hasher) SumBeside(ids []ID, msgs [][]byte, d *Digest, p []byte) {
	if d.lanes {
		p = d.complete(p)
		whole := len(p) &^ (sha256.BlockSize - 1)
		sumLanes(batch{ids: ids, msgs: msgs, digest: d, part: p[:whole]})
		d.rest = append(d.rest, p[whole:]...)
		return
	}
	d.Write(p)
	h.Sum(ids, msgs)
}

// batch is what is hashed in one call: messages, and whole blocks of a digest
// if there is one.
type batch struct {
	ids    []ID
	msgs   [][]byte
	digest *Digest
	part   []byte
}
