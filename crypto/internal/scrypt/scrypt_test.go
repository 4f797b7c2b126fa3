package scrypt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"testing"
	"unsafe"

	"golang.org/x/crypto/scrypt"
	"pgregory.net/rapid"
)

// plain is the reference for the kernels, as RFC 7914 has it.
var plain = kernel{name: "plain", mix: mixPlain, fetch: func(*byte, int) {}}

// underTest are the kernels that this processor has, and plain, with which
// lanes and plans are tested everywhere.
func underTest() []kernel { return append(kernels(), plain) }

func mixPlain(first *byte, s *step, r int) {
	size := 128 * r
	block := func(at uint64) []byte {
		return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(first), at)), size)
	}
	for l := range width {
		in, other := make([]byte, size), make([]byte, size)
		unshuffle(in, block(s[from][l]))
		unshuffle(other, block(s[with][l]))
		var x [64]byte
		copy(x[:], in[size-64:])
		xor(x[:], other[size-64:])
		out := make([]byte, size)
		for i := range 2 * r {
			xor(x[:], in[64*i:])
			xor(x[:], other[64*i:])
			salsa208(&x)
			copy(out[64*(i/2+i%2*r):], x[:])
		}
		shuffle(block(s[to][l]), out)
	}
}

// salsa208 is the hash function of the same name.
func salsa208(b *[64]byte) {
	var x, sum [16]uint32
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	sum = x
	quarter := func(a, b, c, d int) {
		x[b] ^= bits.RotateLeft32(x[a]+x[d], 7)
		x[c] ^= bits.RotateLeft32(x[b]+x[a], 9)
		x[d] ^= bits.RotateLeft32(x[c]+x[b], 13)
		x[a] ^= bits.RotateLeft32(x[d]+x[c], 18)
	}
	for range 4 {
		quarter(0, 4, 8, 12)
		quarter(5, 9, 13, 1)
		quarter(10, 14, 2, 6)
		quarter(15, 3, 7, 11)
		quarter(0, 1, 2, 3)
		quarter(5, 6, 7, 4)
		quarter(10, 11, 8, 9)
		quarter(15, 12, 13, 14)
	}
	for i := range x {
		binary.LittleEndian.PutUint32(b[4*i:], x[i]+sum[i])
	}
}

func xor(x, y []byte) {
	for i := range x {
		x[i] ^= y[i]
	}
}

func TestKernelsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.IntRange(1, 20).Draw(t, "r")
		// A lane reads any two of the first eight blocks and has a block to
		// write after those.
		arena := make([]byte, (8+width)*128*r)
		seed := rapid.Uint32().Draw(t, "seed")
		for i := range arena {
			seed = seed*1664525 + 1013904223
			arena[i] = byte(seed >> 24)
		}
		s := new(step)
		block := rapid.IntRange(0, 7)
		for l := range width {
			s[from][l] = uint64(block.Draw(t, "from") * 128 * r)
			s[with][l] = uint64(block.Draw(t, "with") * 128 * r)
			s[to][l] = uint64((8 + l) * 128 * r)
		}
		want := bytes.Clone(arena)
		mixPlain(&want[0], s, r)
		for _, k := range kernels() {
			got := bytes.Clone(arena)
			k.mix(&got[0], s, r)
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs", k.name)
			}
		}
	})
}

func TestVectors(t *testing.T) {
	for _, v := range []struct {
		password, salt string
		n, r, p        int
		want           string
	}{
		{"", "", 16, 1, 1, "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442" +
			"fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"},
		{"password", "NaCl", 1024, 8, 16, "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162" +
			"2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"},
		{"pleaseletmein", "SodiumChloride", 16384, 8, 1, "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2" +
			"d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"},
	} {
		got, err := Key([]byte(v.password), []byte(v.salt), v.n, v.r, v.p, 64)
		if err != nil || hex.EncodeToString(got) != v.want {
			t.Errorf("Key with N=%d r=%d p=%d = %x, %v", v.n, v.r, v.p, got, err)
		}
		for _, k := range kernels() {
			for processors := 1; processors <= 2; processors++ {
				pl := newPlan(v.n, v.r, v.p, processors)
				got, err := derive(k, pl, []byte(v.password), []byte(v.salt), 64)
				if err != nil || hex.EncodeToString(got) != v.want {
					t.Errorf("%s with %+v = %x, %v", k.name, pl, got, err)
				}
			}
		}
	}
}

func TestDeriveIsScrypt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 1 << rapid.IntRange(1, 9).Draw(t, "log N")
		r := rapid.IntRange(1, 9).Draw(t, "r")
		p := rapid.IntRange(1, 12).Draw(t, "p")
		processors := rapid.IntRange(1, 3).Draw(t, "processors")
		password := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "password")
		salt := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "salt")
		length := rapid.IntRange(1, 100).Draw(t, "length")
		k := rapid.SampledFrom(underTest()).Draw(t, "kernel")
		if k.name == plain.name {
			n = min(n, 1<<5) // it takes its time
		}
		pl := newPlan(n, r, p, processors)
		// Any stride gives the same result.
		pl.stride = rapid.IntRange(1, 2*pl.stride).Draw(t, "stride")
		want, err := scrypt.Key(password, salt, n, r, p, length)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := derive(k, pl, password, salt, length); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("derive with %s, %+v = %x, %v, want %x", k.name, pl, got, err, want)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add([]byte("password"), []byte("NaCl"), uint8(8), uint8(8), uint8(5))
	f.Add([]byte{}, []byte{}, uint8(1), uint8(1), uint8(1))
	f.Add([]byte{0}, []byte{0xff}, uint8(9), uint8(0), uint8(9))
	f.Fuzz(func(t *testing.T, password, salt []byte, logN, r, p uint8) {
		n := 1 << (logN % 10)
		want, wantErr := scrypt.Key(password, salt, n, int(r%10), int(p%10), 32)
		got, err := Key(password, salt, n, int(r%10), int(p%10), 32)
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Fatalf("Key = %x, %v, want %x, %v", got, err, want, wantErr)
		}
		if wantErr != nil || n < 2 {
			return
		}
		for _, k := range kernels() {
			got, err := derive(k, newPlan(n, int(r%10), int(p%10), 2), password, salt, 32)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s = %x, %v, want %x", k.name, got, err, want)
			}
		}
	})
}

func TestKeyRefusesWhatScryptRefuses(t *testing.T) {
	for _, v := range [][3]int{{0, 8, 1}, {1, 8, 1}, {1000, 8, 1}, {1024, 0, 1}, {1024, 8, 0}, {1024, -1, 1}, {1024, 1 << 15, 1 << 15}, {-1 << 63, 8, 1}} {
		if key, err := Key(nil, nil, v[0], v[1], v[2], 32); err == nil {
			t.Errorf("Key with N, r, p = %v gives %x", v, key)
		}
	}
}

func TestPlanTakesTheMemoryOfOneLane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 1 << rapid.IntRange(8, 20).Draw(t, "log N")
		r := rapid.IntRange(1, 1000).Draw(t, "r")
		p := rapid.IntRange(1, 1000).Draw(t, "p")
		pl := newPlan(n, r, p, rapid.IntRange(1, 100).Draw(t, "processors"))
		if pl.threads < 1 || pl.slots < pl.threads || pl.slots > width*pl.threads || pl.slots > p {
			t.Fatalf("%d slots in %d threads", pl.slots, pl.threads)
		}
		total, slots := 0, 0
		for i := range pl.threads {
			slots += pl.slotsOf(i)
			total += pl.arena(pl.slotsOf(i))
		}
		if slots != pl.slots {
			t.Fatalf("threads have %d slots, want %d", slots, pl.slots)
		}
		if limit := 128 * r * n / 4 * 5; total > limit {
			t.Fatalf("%d bytes, want at most %d", total, limit)
		}
	})
}

func BenchmarkScrypt(b *testing.B) {
	const n, r, p = 32768, 8, 5
	password, salt := []byte("password"), make([]byte, 64)
	b.Run("x/crypto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := scrypt.Key(password, salt, n, r, p, 64); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, k := range kernels() {
		for processors := 1; processors <= 2; processors++ {
			b.Run(fmt.Sprintf("%s/processors=%d", k.name, processors), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := derive(k, newPlan(n, r, p, processors), password, salt, 64); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
