package crypto

import (
	"crypto/sha256"
	"hash"
)

// Digest computes the ID of one long message that comes in parts. A Hasher
// makes it, and can add a part while it hashes other messages. It is not safe
// for concurrent use.
type Digest struct {
	lanes bool
	plain hash.Hash // unless lanes is set

	state [8]uint32
	size  int64  // bytes written
	rest  []byte // those of them that don't fill a block
}

// NewDigest returns the digest of an empty message.
func (h Hasher) NewDigest() *Digest {
	if !h.lanes {
		return &Digest{plain: sha256.New()}
	}
	return &Digest{lanes: true, state: initialState(), rest: make([]byte, 0, sha256.BlockSize)}
}

// Write adds p to the message. It never fails.
func (d *Digest) Write(p []byte) (int, error) {
	if !d.lanes {
		return d.plain.Write(p)
	}
	Hasher{lanes: true}.SumBeside(nil, nil, d, p)
	return len(p), nil
}

// complete counts p and fills up the block that is not whole yet. It returns
// what is left of p; unless that is empty, rest is.
func (d *Digest) complete(p []byte) []byte {
	d.size += int64(len(p))
	if len(d.rest) == 0 {
		return p
	}
	n := min(len(p), sha256.BlockSize-len(d.rest))
	d.rest = append(d.rest, p[:n]...)
	if len(d.rest) == sha256.BlockSize {
		sumLanes(batch{digest: d, part: d.rest})
		d.rest = d.rest[:0]
	}
	return p[n:]
}

// ID returns the ID of what was written so far. More may be written.
func (d *Digest) ID() ID {
	if !d.lanes {
		return ID(d.plain.Sum(nil))
	}
	var tail [2 * sha256.BlockSize]byte
	end := *d
	sumLanes(batch{digest: &end, part: padded(&tail, d.rest, d.size)})
	return stateID(&end.state)
}
