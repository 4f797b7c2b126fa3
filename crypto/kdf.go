package crypto

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	plain "golang.org/x/crypto/scrypt"

	"github.com/garner-backup/garner/crypto/internal/scrypt"
)

// SaltSize is the length of a key file's salt in bytes.
const SaltSize = 64

// KDFParams are scrypt's cost parameters. One derivation takes 128*N*R bytes
// of memory, and up to a quarter more if N is small.
type KDFParams struct {
	N int // cost: a power of two
	R int // block size
	P int // how often the work is repeated
}

// Limits of the products that memory and time grow with, 128 bytes each. Keys
// of restic are at about r*p = 40 and N*r*p = 2^20.
const (
	maxLanes = 1 << 19
	maxWork  = 1 << 33
)

// validate refuses what scrypt can't compute and what would take more memory
// than 2 GiB, so that a hostile key file can't exhaust the machine.
func (p KDFParams) validate() error {
	switch {
	case p.N <= 1 || bits.OnesCount(uint(p.N)) != 1:
		return fmt.Errorf("invalid scrypt parameter N=%d: want a power of two above 1", p.N)
	case p.R < 1 || p.P < 1 || p.R >= 1<<30 || p.P >= 1<<30 || p.R*p.P >= 1<<30:
		return fmt.Errorf("invalid scrypt parameters r=%d, p=%d: want at least 1 each and a product below 2^30", p.R, p.P)
	case p.N > (1<<31-1)/128/p.R:
		return fmt.Errorf("invalid scrypt parameters N=%d, r=%d: more than 2 GiB of memory", p.N, p.R)
	case p.R*p.P > maxLanes:
		return fmt.Errorf("invalid scrypt parameters r=%d, p=%d: more than 64 MiB of memory for lanes", p.R, p.P)
	case int64(p.N)*int64(p.R)*int64(p.P) > maxWork:
		return fmt.Errorf("invalid scrypt parameters N=%d, r=%d, p=%d: a derivation would take hours", p.N, p.R, p.P)
	}
	return nil
}

// deriveKey turns a password into the key that seals the master key.
func deriveKey(password string, salt []byte, p KDFParams) (*Key, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	if len(salt) != SaltSize {
		return nil, fmt.Errorf("invalid salt of %d bytes, want %d", len(salt), SaltSize)
	}
	raw, err := scrypt.Key([]byte(password), salt, p.N, p.R, p.P, keySize)
	if err != nil {
		return nil, fmt.Errorf("scrypt: %w", err)
	}
	return keyFromBytes(raw)
}

const (
	calibrationTime   = 500 * time.Millisecond
	calibrationMemory = 60 << 20 // bytes
)

// CalibrateKDF chooses parameters such that one derivation takes about half a
// second on this machine and at most 60 MiB: r is 8, N the largest power of
// two that fits the memory and the time, p fills what time is left. These are
// the limits that restic uses, so keys of either program cost the same.
func CalibrateKDF() (KDFParams, error) {
	p := KDFParams{N: 2, R: 8, P: 1}
	for 128*p.R*p.N*2 < calibrationMemory {
		p.N *= 2
	}
	for {
		took, err := timeKDF(p)
		if err != nil {
			return KDFParams{}, err
		}
		if took <= calibrationTime {
			p.P = max(1, int(calibrationTime/took))
			return p, nil
		}
		if p.N <= 1<<10 {
			return KDFParams{}, errors.New("scrypt calibration: this machine is too slow to measure")
		}
		p.N /= 2
	}
}

// timeKDF measures the plain implementation and not the one that deriveKey
// uses, which is several times faster: a key made for that would keep clients
// without it, restic among them, waiting for as many times half a second. What
// it would cost an attacker more does not depend on which one the owner has.
func timeKDF(p KDFParams) (time.Duration, error) {
	salt := make([]byte, SaltSize)
	start := time.Now()
	_, err := plain.Key([]byte("calibration"), salt, p.N, p.R, p.P, keySize)
	return max(time.Since(start), 1), err
}
