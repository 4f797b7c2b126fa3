package chunk

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// plain is the name of the implementation without a kernel, the reference.
const plain = "plain"

// implementations returns, by name, a table with each kernel that this machine
// can run, and plain.
func implementations(t interface{ Fatal(...any) }, p Params) map[string]*Table {
	all := make(map[string]*Table)
	add := func(name string, with []kernel) {
		table, err := newTableWith(p, with)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = table
	}
	add(plain, nil)
	for _, k := range kernels() {
		add(k.name, []kernel{k})
	}
	return all
}

// multiply is what VGF2P8AFFINEQB does with a byte.
func multiply(m uint64, b uint8) (sum uint8) {
	for row := range 8 {
		sum |= uint8(bits.OnesCount8(uint8(m>>(8*(7-row)))&b)&1) << row
	}
	return sum
}

func TestMatricesAreTheTables(t *testing.T) {
	for _, pol := range testPols(t) {
		tab := newTables(pol)
		p := newPlanes(tab, kernel{}, 1<<minKernelBits-1)
		for b := range 256 {
			for i := range planeCount {
				mod, out := multiply(p.wide[modMatrices+i][0], uint8(b)), multiply(p.wide[outMatrices+i][0], uint8(b))
				if wantMod, wantOut := uint8(tab.mod[b]<<planeShift>>(8*i)), uint8(tab.out[b]<<planeShift>>(8*i)); mod != wantMod || out != wantOut {
					t.Fatalf("plane %d of byte %d is %x and %x, want %x and %x", i, b, mod, out, wantMod, wantOut)
				}
			}
			low, high := multiply(p.wide[shiftLeft][0], uint8(b)), multiply(p.wide[shiftRight][0], uint8(b))
			if int(high)<<8|int(low) != b<<planeShift {
				t.Fatalf("byte %d is shifted to %x %x", b, high, low)
			}
		}
	}
}

// A window of zeros is a candidate under any mask. With all 53 bits it is the
// only one if the bytes around it are not zero.
func TestOneCandidateIsFoundWhereverItIs(t *testing.T) {
	const from, size = 100, 76_000 // more than one call of each kernel, and a rest
	data := content(rand.New(rand.NewPCG(7, 8)), 0, size)
	for i := range data {
		data[i] |= 1
	}
	for name, table := range implementations(t, Params{Pol: vectorPol, AverageBits: 53}) {
		c := table.NewCutter()
		for q := from; q <= size; q++ {
			atBorder := (q-from+1)%blockSize < 3
			if !atBorder && q%61 != 0 || name == plain && q%301 != 0 {
				continue
			}
			window := slices.Clone(data[q-windowSize : q])
			clear(data[q-windowSize : q])
			want := q
			if q == from {
				want = 0
			}
			if got := c.first(data, from, size); got != want {
				t.Fatalf("%s: candidate at %d, want %d", name, got, want)
			}
			copy(data[q-windowSize:], window)
		}
	}
}

// A kernel must not take its neighbours' bytes for its own, nor read them
// twice: the lanes of shorter calls lie elsewhere.
func TestScanOfAnyRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		data := content(r, rapid.IntRange(0, 4).Draw(t, "kind"), rapid.IntRange(0, 200_000).Draw(t, "size"))
		from := rapid.IntRange(0, len(data)).Draw(t, "from")
		to := rapid.IntRange(0, len(data)).Draw(t, "to")
		p := Params{Pol: vectorPol, AverageBits: rapid.IntRange(1, 53).Draw(t, "bits")}
		compareScans(t, p, data, from, to)
	})
}

// compareScans checks Scan with each kernel against the plain version.
func compareScans(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, p Params, data []byte, from, to int) {
	all := implementations(t, p)
	want := all[plain].Scan(nil, data, from, to)
	for name, table := range all {
		if got := table.Scan(nil, data, from, to); !slices.Equal(got, want) {
			t.Fatalf("%s, %d bits, (%d, %d]: candidates at %v, want %v", name, p.AverageBits, from, to, got, want)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("some text"), uint8(0), uint64(1), uint32(100_000), uint32(64), uint32(100_000), uint8(13))
	f.Add(make([]byte, 200), uint8(0), uint64(2), uint32(80_000), uint32(1000), uint32(80_000), uint8(53))
	f.Add([]byte("period"), uint8(1), uint64(3), uint32(20_000), uint32(0), uint32(20_000), uint8(20))
	f.Fuzz(func(t *testing.T, data []byte, kind uint8, seed uint64, size, from, to uint32, bits uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		buf := content(r, int(kind%5), int(size%200_000))
		// The fuzzer's bytes, in several places.
		for len(data) > 0 && len(buf) > 0 && r.IntN(8) != 0 {
			copy(buf[r.IntN(len(buf)):], data)
		}
		limit := uint32(len(buf)) + 1
		compareScans(t, Params{Pol: vectorPol, AverageBits: 1 + int(bits%53)}, buf, int(from%limit), int(to%limit))
	})
}
