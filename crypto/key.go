// Package crypto holds the cryptography of the restic repository format:
// content IDs, sealing with AES-256-CTR and Poly1305-AES, and the key files
// that protect the master key with a password. It works on bytes and does no
// input or output.
//
// Start at [Key]: [Key.Seal] and [Key.Open] protect every object of a
// repository except the key files, which [NewKeyFile] makes and
// [KeyFile.Open] opens.
package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	//lint:ignore SA1019 the format uses the bare authenticator
	"golang.org/x/crypto/poly1305"
)

const (
	// IVSize is the length of the random initialisation vector in front of
	// the ciphertext.
	IVSize = aes.BlockSize
	// MACSize is the length of the authenticator behind the ciphertext.
	MACSize = poly1305.TagSize
	// Overhead is by how many bytes a sealed object exceeds its plaintext.
	Overhead = IVSize + MACSize

	encryptKeySize = 32
	macKeySize     = 16
	keySize        = encryptKeySize + 2*macKeySize
)

// ErrUnauthenticated means that a sealed object was not made with this key or
// was changed since.
var ErrUnauthenticated = errors.New("ciphertext verification failed")

// Key seals and opens objects: a repository's master key, or the key that a
// password gives. Its methods are safe for concurrent use.
type Key struct {
	encrypt [encryptKeySize]byte // AES-256
	macK    [macKeySize]byte     // AES-128, makes the one-time nonce from the IV
	macR    [macKeySize]byte     // Poly1305 r as stored, unclamped

	block    cipher.Block // of encrypt
	macBlock cipher.Block // of macK
}

// NewKey returns a random key.
func NewKey() *Key {
	raw := make([]byte, keySize)
	rand.Read(raw) // never fails
	k, err := keyFromBytes(raw)
	if err != nil {
		return NewKey() // a part of all zeros: once in 2^128
	}
	return k
}

// keyFromBytes splits raw into encryption key, k and r, in this order, and
// refuses a part that is all zero.
func keyFromBytes(raw []byte) (*Key, error) {
	k := new(Key)
	n := copy(k.encrypt[:], raw)
	n += copy(k.macK[:], raw[n:])
	copy(k.macR[:], raw[n:])
	return k, k.init()
}

func (k *Key) init() error {
	if k.encrypt == [encryptKeySize]byte{} || k.macK == [macKeySize]byte{} || k.macR == [macKeySize]byte{} {
		return errors.New("invalid key: a part of it is all zero")
	}
	var err error
	if k.block, err = aes.NewCipher(k.encrypt[:]); err != nil {
		return err
	}
	k.macBlock, err = aes.NewCipher(k.macK[:])
	return err
}

// mac computes the authenticator of ciphertext under the one-time key that
// belongs to iv. The IV is not part of the message; it is bound by the nonce.
func (k *Key) mac(tag *[MACSize]byte, iv, ciphertext []byte) {
	var oneTime [32]byte
	copy(oneTime[:16], k.macR[:]) // poly1305 clamps r itself
	k.macBlock.Encrypt(oneTime[16:], iv)
	poly1305.Sum(tag, ciphertext, &oneTime)
}

// Seal encrypts and authenticates plaintext under a fresh random IV and
// appends IV, ciphertext and MAC to dst, growing by len(plaintext)+[Overhead]
// bytes. The plaintext may already lie where its ciphertext goes, at
// dst[len(dst)+IVSize:]; otherwise it must not overlap dst's spare capacity.
func (k *Key) Seal(dst, plaintext []byte) []byte {
	start := len(dst)
	dst = grow(dst, len(plaintext)+Overhead)
	sealed := dst[start:]
	iv := sealed[:IVSize]
	for {
		rand.Read(iv)
		if !allZero(iv) {
			break
		}
	}
	ciphertext := sealed[IVSize : IVSize+len(plaintext)]
	cipher.NewCTR(k.block, iv).XORKeyStream(ciphertext, plaintext)
	k.mac((*[MACSize]byte)(sealed[IVSize+len(plaintext):]), iv, ciphertext)
	return dst
}

// Authenticate verifies that sealed was made with this key and not changed
// since, without decrypting it. The error is [ErrUnauthenticated].
func (k *Key) Authenticate(sealed []byte) error {
	if len(sealed) < Overhead {
		return fmt.Errorf("sealed object of %d bytes is shorter than its overhead of %d: %w",
			len(sealed), Overhead, ErrUnauthenticated)
	}
	iv := sealed[:IVSize]
	var tag [MACSize]byte
	k.mac(&tag, iv, sealed[IVSize:len(sealed)-MACSize])
	if allZero(iv) || subtle.ConstantTimeCompare(tag[:], sealed[len(sealed)-MACSize:]) != 1 {
		return ErrUnauthenticated
	}
	return nil
}

// Open verifies sealed and appends its plaintext, len(sealed)-[Overhead]
// bytes, to dst, whose spare capacity must not overlap sealed (but see
// [Key.OpenInPlace]). Nothing is decrypted unless the MAC fits; if it does
// not, the error is [ErrUnauthenticated].
func (k *Key) Open(dst, sealed []byte) ([]byte, error) {
	if err := k.Authenticate(sealed); err != nil {
		return nil, err
	}
	iv, ciphertext := sealed[:IVSize], sealed[IVSize:len(sealed)-MACSize]
	start := len(dst)
	dst = grow(dst, len(ciphertext))
	cipher.NewCTR(k.block, iv).XORKeyStream(dst[start:], ciphertext)
	return dst, nil
}

// OpenInPlace is Open with the plaintext in sealed's own memory, which it
// overwrites.
func (k *Key) OpenInPlace(sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return k.Open(nil, sealed)
	}
	return k.Open(sealed[IVSize:IVSize], sealed)
}

// PlaintextSum returns the CRC-32C of the plaintext of sealed, which must be
// at least [Overhead] bytes long, without authenticating it: a cheap way to see
// that what was just sealed is what was meant. It decrypts into buf piece by
// piece; 16 KiB are a good size for it.
func (k *Key) PlaintextSum(sealed, buf []byte) uint32 {
	ctr := cipher.NewCTR(k.block, sealed[:IVSize])
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := uint32(0)
	for piece := range slices.Chunk(sealed[IVSize:len(sealed)-MACSize], len(buf)) {
		ctr.XORKeyStream(buf[:len(piece)], piece)
		sum = crc32.Update(sum, table, buf[:len(piece)])
	}
	return sum
}

// grow extends b by n bytes of undefined content.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	grown := make([]byte, len(b)+n)
	copy(grown, b)
	return grown
}

func allZero(b []byte) bool {
	var or byte
	for _, c := range b {
		or |= c
	}
	return or == 0
}

// keyJSON is the form of a key inside a key file and in `cat masterkey`.
type keyJSON struct {
	MAC struct {
		K []byte `json:"k"`
		R []byte `json:"r"`
	} `json:"mac"`
	Encrypt []byte `json:"encrypt"`
}

// MarshalJSON returns the key in the form that key files seal.
func (k *Key) MarshalJSON() ([]byte, error) {
	var j keyJSON
	j.MAC.K, j.MAC.R, j.Encrypt = k.macK[:], k.macR[:], k.encrypt[:]
	return json.Marshal(j)
}

// UnmarshalJSON reads the form that MarshalJSON writes and refuses parts of a
// wrong length or of zeros only.
func (k *Key) UnmarshalJSON(b []byte) error {
	var j keyJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	if len(j.Encrypt) != encryptKeySize || len(j.MAC.K) != macKeySize || len(j.MAC.R) != macKeySize {
		return fmt.Errorf("invalid key: parts of %d, %d and %d bytes, want %d, %d and %d",
			len(j.Encrypt), len(j.MAC.K), len(j.MAC.R), encryptKeySize, macKeySize, macKeySize)
	}
	copy(k.encrypt[:], j.Encrypt)
	copy(k.macK[:], j.MAC.K)
	copy(k.macR[:], j.MAC.R)
	return k.init()
}
