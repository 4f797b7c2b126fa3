package repo

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"

	"github.com/garner-backup/garner/index"
)

// Verification says how thoroughly new blobs are verified before they are
// stored. What goes wrong before can't be seen later: the name of a pack would
// be the hash of the damaged bytes.
type Verification uint8

const (
	// VerifySampled decrypts each blob and compares the checksum of the
	// result with that of what was to be sealed, taken right after the
	// encoder wrote it. It finds every flipped bit between encoding and
	// sealing, in the ciphertext, and, together with the checksum that a pack
	// keeps, until the pack is hashed. One data blob in sixteen at random and
	// all trees are read back as with VerifyAll, which finds encoders and
	// authenticators that err more than once in a while.
	VerifySampled Verification = iota
	// VerifyAll opens each blob as a reader will: MAC, decryption,
	// decompression, hash. It also finds an encoder that errs only once,
	// and content that changed in memory after it was hashed.
	VerifyAll
	// VerifyNone leaves all to the readers.
	VerifyNone
)

var verificationNames = [...]string{"sampled", "all", "none"}

// String returns the word that the command line uses.
func (v Verification) String() string {
	if int(v) < len(verificationNames) {
		return verificationNames[v]
	}
	return fmt.Sprintf("invalid(%d)", uint8(v))
}

// ParseVerification is the inverse of String.
func ParseVerification(s string) (Verification, error) {
	for i, name := range verificationNames {
		if s == name {
			return Verification(i), nil
		}
	}
	return 0, fmt.Errorf("invalid verification %q, must be one of (sampled|all|none)", s)
}

// sampleRate is of how many data blobs one is verified in full.
const sampleRate = 16

var errSealedOther = errors.New("decrypts to other bytes than were encrypted")

// sumBefore returns the checksum of what is about to be sealed.
func (r *Repo) sumBefore(plain []byte) uint32 {
	if r.opts.Verify != VerifySampled {
		return 0
	}
	return crc32.Checksum(plain, crc32.MakeTable(crc32.Castagnoli))
}

// verifyBlob verifies what was just sealed, s.sealed, as the options say. sum
// is what sumBefore returned.
func (r *Repo) verifyBlob(s *scratch, b index.Blob, sum uint32) error {
	switch {
	case r.opts.Verify == VerifyNone:
		return nil
	case r.opts.Verify == VerifyAll || b.Type == index.TreeBlob:
		return r.readBack(s, b, s.sealed)
	case rand.Uint32N(sampleRate) == 0:
		// One at a time, in memory that all workers share.
		r.sample.mu.Lock()
		defer r.sample.mu.Unlock()
		return r.readBack(&r.sample.scratch, b, s.sealed)
	}
	s.frame = grow(s.frame[:0], min(len(s.sealed), decryptStep))
	if r.key.PlaintextSum(s.sealed, s.frame) != sum {
		return errSealedOther
	}
	return nil
}

// decryptStep is how much is decrypted at a time to be summed, so that it
// stays in the fastest cache.
const decryptStep = 16 << 10

// readBack opens a copy of sealed and compares the content's hash with the ID.
func (r *Repo) readBack(s *scratch, b index.Blob, sealed []byte) error {
	s.frame = append(reserve(s.frame, len(sealed)), sealed...)
	plain, err := r.openBlob(reserve(s.plain, b.PlaintextLength()), b, s.frame)
	if err != nil {
		return err
	}
	s.plain = plain
	return nil
}

// sampler holds the buffers in which sampled blobs are read back.
type sampler struct {
	mu      sync.Mutex
	scratch scratch // owned by mu
}
