package crypto

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"

	//lint:ignore SA1019 see key.go
	"golang.org/x/crypto/poly1305"
)

// streamBuffer is how many bytes the streaming forms work on at a time.
const streamBuffer = 256 << 10

// newMAC returns the authenticator for a ciphertext under iv, to be fed piece
// by piece.
func (k *Key) newMAC(iv []byte) *poly1305.MAC {
	var oneTime [32]byte
	copy(oneTime[:16], k.macR[:])
	k.macBlock.Encrypt(oneTime[16:], iv)
	return poly1305.New(&oneTime)
}

// sealWriter encrypts what is written to it; see SealTo.
type sealWriter struct {
	w      io.Writer
	stream cipher.Stream
	mac    *poly1305.MAC
	buf    []byte
}

// SealTo returns a writer that seals an object piece by piece onto w, for
// objects too large for memory. Close writes the MAC; it does not close w.
// The result is what Seal makes.
func (k *Key) SealTo(w io.Writer) (io.WriteCloser, error) {
	iv := make([]byte, IVSize)
	for allZero(iv) {
		rand.Read(iv)
	}
	if _, err := w.Write(iv); err != nil {
		return nil, err
	}
	return &sealWriter{w: w, stream: cipher.NewCTR(k.block, iv), mac: k.newMAC(iv), buf: make([]byte, streamBuffer)}, nil
}

func (s *sealWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), len(s.buf))
		s.stream.XORKeyStream(s.buf[:n], p[:n])
		s.mac.Write(s.buf[:n])
		if _, err := s.w.Write(s.buf[:n]); err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

func (s *sealWriter) Close() error {
	_, err := s.w.Write(s.mac.Sum(nil))
	return err
}

// OpenFrom verifies a sealed object of size bytes that lies in sealed, and
// returns a reader of its plaintext. It reads the object once for the MAC
// before it returns, and a second time through the reader, so sealed must be
// out of reach of others.
func (k *Key) OpenFrom(sealed io.ReaderAt, size int64) (io.Reader, error) {
	if size < Overhead {
		return nil, fmt.Errorf("sealed object of %d bytes is shorter than its overhead of %d: %w", size, Overhead, ErrUnauthenticated)
	}
	var iv [IVSize]byte
	var tag [MACSize]byte
	if _, err := sealed.ReadAt(iv[:], 0); err != nil {
		return nil, err
	}
	if n, err := sealed.ReadAt(tag[:], size-MACSize); n < MACSize {
		return nil, err
	}
	mac := k.newMAC(iv[:])
	buf := make([]byte, streamBuffer)
	if _, err := io.CopyBuffer(mac, io.NewSectionReader(sealed, IVSize, size-Overhead), buf); err != nil {
		return nil, err
	}
	if allZero(iv[:]) || subtle.ConstantTimeCompare(mac.Sum(nil), tag[:]) != 1 {
		return nil, ErrUnauthenticated
	}
	return &cipher.StreamReader{S: cipher.NewCTR(k.block, iv[:]), R: io.NewSectionReader(sealed, IVSize, size-Overhead)}, nil
}
