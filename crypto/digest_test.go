package crypto

import (
	"crypto/sha256"
	"testing"

	"pgregory.net/rapid"
)

func TestDigestAtAllLengths(t *testing.T) {
	message := content(1, 300)
	for name, h := range hashers(t) {
		for n := range len(message) + 1 {
			for _, step := range []int{1, 63, 64, 65, 300} {
				d := h.NewDigest()
				for from := 0; from < n; from += step {
					d.Write(message[from:min(from+step, n)])
				}
				if id := d.ID(); id != Hash(message[:n]) {
					t.Fatalf("%s: %d bytes in steps of %d: %v", name, n, step, id)
				}
			}
		}
	}
}

func TestDigestProperty(t *testing.T) {
	all := hashers(t)
	buf := content(7, 100<<10)
	lengths := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(0, 80<<10))
	rapid.Check(t, func(t *rapid.T) {
		type step struct {
			part []byte
			msgs [][]byte
		}
		var steps []step
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			s := step{part: buf[:lengths.Draw(t, "part")]}
			for range rapid.IntRange(0, 5).Draw(t, "messages") {
				s.msgs = append(s.msgs, buf[1000:1000+lengths.Draw(t, "length")])
			}
			steps = append(steps, s)
		}
		for name, h := range all {
			d, plain := h.NewDigest(), sha256.New()
			for _, s := range steps {
				ids := make([]ID, len(s.msgs))
				h.SumBeside(ids, s.msgs, d, s.part)
				plain.Write(s.part)
				for i, m := range s.msgs {
					if ids[i] != Hash(m) {
						t.Errorf("%s: message %d of %d bytes: %v", name, i, len(m), ids[i])
					}
				}
				if id := d.ID(); id != ID(plain.Sum(nil)) {
					t.Errorf("%s: digest is %v, want %x", name, id, plain.Sum(nil))
				}
			}
		}
	})
}
