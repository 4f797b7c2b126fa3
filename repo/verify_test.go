package repo

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/index"
	"github.com/garner-backup/garner/repo/backend/mem"
)

// contents are blobs that are stored in different ways.
func contents() map[string][]byte {
	random := make([]byte, 100_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	return map[string][]byte{
		"text":   bytes.Repeat([]byte("a line of text, and one more\n"), 2000),
		"random": random,
		"short":  []byte("x"),
		"empty":  {},
	}
}

// TestVerificationFindsFlippedBits flips bits where faulty memory might,
// between encoding and the pack. Some bits of a frame mean nothing.
func TestVerificationFindsFlippedBits(t *testing.T) {
	for name, content := range contents() {
		for _, mode := range []Verification{VerifySampled, VerifyAll} {
			r := newTestRepo(t, mem.New(), &Options{Verify: mode})
			h := index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(content)}
			for range 200 {
				s := new(scratch)
				b, sealed, err := r.sealBlob(s, h, content)
				if err != nil {
					t.Fatalf("%s, %v: %v", name, mode, err)
				}
				plain, err := r.key.Open(nil, sealed)
				if err != nil {
					t.Fatal(err)
				}
				sum := r.sumBefore(plain)
				if err := r.verifyBlob(s, b, sum); err != nil {
					t.Fatalf("%s, %v: unchanged: %v", name, mode, err)
				}
				if len(plain) == 0 {
					continue
				}
				flip := rand.IntN(8 * len(plain))
				plain[flip/8] ^= 1 << (flip % 8) // before sealing
				s.sealed = r.key.Seal(s.sealed[:0], plain)
				if err := r.verifyBlob(s, b, sum); err == nil && r.readBack(new(scratch), b, s.sealed) != nil {
					t.Fatalf("%s, %v: bit %d of the frame was flipped", name, mode, flip)
				}
				plain[flip/8] ^= 1 << (flip % 8)
				s.sealed = r.key.Seal(s.sealed[:0], plain)
				s.sealed[crypto.IVSize+flip/8] ^= 1 << (flip % 8) // after it
				if err := r.verifyBlob(s, b, sum); err == nil {
					t.Fatalf("%s, %v: bit %d of the ciphertext was flipped", name, mode, flip)
				}
			}
		}
	}
}

// TestVerificationReadsBack meets an encoder that errs: of data blobs one in
// sixteen is opened by sampling, of trees and with VerifyAll each.
func TestVerificationReadsBack(t *testing.T) {
	const blobs = 400
	for _, tc := range []struct {
		mode     Verification
		t        index.BlobType
		min, max int // how many must be found
	}{
		{VerifySampled, index.DataBlob, 5, 80},
		{VerifySampled, index.TreeBlob, blobs, blobs},
		{VerifyAll, index.DataBlob, blobs, blobs},
		{VerifyNone, index.TreeBlob, 0, 0},
	} {
		r := newTestRepo(t, mem.New(), &Options{Verify: tc.mode})
		found := 0
		for range blobs {
			// The content of another blob stands for what an encoder made of it.
			_, _, err := r.sealBlob(new(scratch), index.BlobHandle{Type: tc.t, ID: crypto.Hash([]byte("meant"))}, []byte("encoded"))
			if err != nil {
				found++
				if !errors.Is(err, errWrongHash) {
					t.Fatal(err)
				}
			}
		}
		if found < tc.min || found > tc.max {
			t.Errorf("%v, %v: %d of %d found", tc.mode, tc.t, found, blobs)
		}
	}
}

func TestVerificationWords(t *testing.T) {
	for _, v := range []Verification{VerifySampled, VerifyAll, VerifyNone} {
		if got, err := ParseVerification(v.String()); got != v || err != nil {
			t.Errorf("%v: %v, %v", v, got, err)
		}
	}
	if _, err := ParseVerification("some"); err == nil {
		t.Error("some was accepted")
	}
}

// BenchmarkSeal shows what verification adds to encoding and sealing.
func BenchmarkSeal(b *testing.B) {
	var text []byte
	r := rand.New(rand.NewPCG(1, 2))
	words := make([][]byte, 3000)
	for i := range words {
		words[i] = make([]byte, 2+r.IntN(9))
		for j := range words[i] {
			words[i][j] = 'a' + byte(r.IntN(20))
		}
	}
	for len(text) < 1<<20 {
		text = append(append(text, words[r.IntN(len(words))]...), ' ')
	}
	random := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	for name, content := range map[string][]byte{"text": text, "random": random, "small": text[:4000]} {
		for _, mode := range []Verification{VerifyNone, VerifySampled, VerifyAll} {
			b.Run(name+"/"+mode.String(), func(b *testing.B) {
				r := newTestRepo(b, mem.New(), &Options{Verify: mode})
				h := index.BlobHandle{Type: index.DataBlob, ID: crypto.Hash(content)}
				s := new(scratch)
				b.SetBytes(int64(len(content)))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := r.sealBlob(s, h, content); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
