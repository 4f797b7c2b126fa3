package chunk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/restic/chunker"
	"pgregory.net/rapid"
)

const vectorPol = Pol(0x3da3358b4dc173)

func newTable(t testing.TB, p Params) *Table {
	t.Helper()
	table, err := NewTable(p)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// vectorData is the concatenation of SHA-256(LE64(i)) for i = 0, 1, 2, ...
func vectorData(n int) []byte {
	b := make([]byte, 0, n+32)
	for i := uint64(0); len(b) < n; i++ {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, i))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

func TestVector(t *testing.T) {
	data := vectorData(12 << 20)
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != "a2592d13577fc38f18ca829e7a3a6e81bea5c200b537b14530c53c0115396625" {
		t.Fatal("the input is not that of the vector")
	}
	table := newTable(t, Params{Pol: vectorPol})
	if table.tables.mod[1] != 0x3da3358b4dc173 || table.tables.mod[255] != 0x1ff7ac8a5af476a7 {
		t.Errorf("mod[1] = %x, mod[255] = %x", table.tables.mod[1], table.tables.mod[255])
	}
	want := []struct {
		length int
		hash   string
	}{
		{1015968, "f3d509f80ced030c"}, {1087132, "a5e07d7324e2fdcc"}, {693439, "10b46118bf46f7b5"},
		{2344058, "0f8c4a4ff60f6c03"}, {903280, "5647a39c8263e250"}, {1709091, "9bd9c9f3a863b862"},
		{1791277, "2456d6222d1ec958"}, {1802453, "18a83fd6c22e203b"}, {1190352, "5b142bd3bcf6b1a8"}, {45862, "b58f3421c63fa3c0"},
	}
	for name, table := range implementations(t, Params{Pol: vectorPol}) {
		r := table.NewReader(bytes.NewReader(data))
		for i, w := range want {
			c, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(c)
			if len(c) != w.length || hex.EncodeToString(sum[:8]) != w.hash {
				t.Errorf("%s: chunk %d: %d bytes, %x", name, i, len(c), sum[:8])
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the last chunk: %v", name, err)
		}
	}
}

// resticCuts returns where restic/chunker cuts.
func resticCuts(t interface{ Fatal(...any) }, p Params, data []byte) []int {
	c := chunker.NewWithBoundaries(bytes.NewReader(data), chunker.Pol(p.Pol), uint(p.MinSize), uint(p.MaxSize))
	c.SetAverageBits(p.AverageBits)
	buf := make([]byte, max(p.MaxSize, p.MinSize)+1)
	var cuts []int
	end := 0
	for {
		chunk, err := c.Next(buf)
		if errors.Is(err, io.EOF) {
			return cuts
		}
		if err != nil {
			t.Fatal(err)
		}
		end += int(chunk.Length)
		cuts = append(cuts, end)
	}
}

// fed returns the cuts of data that comes in pieces, as a caller gets it who
// presents the incomplete chunk again.
func fed(c *Cutter, data []byte, piece func() int) []int {
	var cuts []int
	start, have := 0, 0
	for {
		have = min(have+piece(), len(data))
		final := have == len(data)
		for _, end := range c.Cuts(nil, data[start:have], final) {
			cuts = append(cuts, start+end)
		}
		if len(cuts) > 0 {
			start = cuts[len(cuts)-1]
		}
		if final {
			return cuts
		}
	}
}

// Kinds of content that a chunker may meet.
func content(r *rand.Rand, kind, n int) []byte {
	b := make([]byte, n)
	switch kind {
	case 0: // random
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	case 1: // zeros
	case 2: // a period
		period := content(r, 0, 1+r.IntN(200))
		for i := range b {
			b[i] = period[i%len(period)]
		}
	case 3: // pieces of all
		for at := 0; at < n; {
			m := min(1+r.IntN(max(n/5, 1)), n-at)
			copy(b[at:], content(r, r.IntN(3), m))
			at += m
		}
	case 4: // few symbols
		for i := range b {
			b[i] = byte(r.IntN(3))
		}
	}
	return b
}

func testPols(t testing.TB) []Pol {
	pols := []Pol{vectorPol, 0x34e428c58c9d21}
	for range 3 {
		p, err := RandomPol()
		if err != nil {
			t.Fatal(err)
		}
		pols = append(pols, p)
	}
	return pols
}

func TestCutsAreThoseOfRestic(t *testing.T) {
	pols := testPols(t)
	rapid.Check(t, func(t *rapid.T) {
		p := Params{
			Pol:         rapid.SampledFrom(pols).Draw(t, "polynomial"),
			MinSize:     rapid.SampledFrom([]int{64, 65, 100, 127, 128, 1000, 4096, 9999}).Draw(t, "min"),
			MaxSize:     rapid.SampledFrom([]int{1, 64, 100, 5000, 10_000, 40_000, 200_000}).Draw(t, "max"),
			AverageBits: rapid.SampledFrom([]int{1, 3, 8, 11, 13, 20, 53}).Draw(t, "bits"),
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		data := content(r, rapid.IntRange(0, 4).Draw(t, "kind"), rapid.SampledFrom([]int{0, 1, 63, 64, 65, 1000, 70_000, 300_000}).Draw(t, "size"))
		want := resticCuts(t, p, data)
		for name, table := range implementations(t, p) {
			c := table.NewCutter()
			if got := c.Cuts(nil, data, true); !slices.Equal(got, want) {
				t.Fatalf("%s, %+v: cuts at %v, want %v", name, p, got, want)
			}
			if got := fed(c, data, func() int { return 1 + r.IntN(20_000) }); !slices.Equal(got, want) {
				t.Fatalf("%s, %+v, in pieces: cuts at %v, want %v", name, p, got, want)
			}
			checkReader(t, table, data, want)
		}
	})
}

func checkReader(t *rapid.T, table *Table, data []byte, want []int) {
	r := table.NewReader(bytes.NewReader(data))
	var all []byte
	for _, end := range want {
		c, err := r.Next()
		all = append(all, c...)
		if err != nil || len(all) != end {
			t.Fatalf("Reader: chunk ends at %d, want %d (%v)", len(all), end, err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) || !bytes.Equal(all, data) {
		t.Fatalf("Reader: %v after the last chunk, content is the same: %v", err, bytes.Equal(all, data))
	}
}

func TestDefaultCutsAreThoseOfRestic(t *testing.T) {
	p := Params{MinSize: DefaultMinSize, MaxSize: DefaultMaxSize, AverageBits: DefaultAverageBits}
	r := rand.New(rand.NewPCG(1, 2))
	for i, pol := range testPols(t)[1:4] {
		p.Pol = pol
		for _, size := range []int{DefaultMinSize - 1, DefaultMinSize, DefaultMinSize + 1, 10 << 20} {
			data := content(r, []int{0, 3, 1}[i], size)
			want := resticCuts(t, p, data)
			for name, table := range implementations(t, Params{Pol: pol}) {
				c := table.NewCutter()
				if got := c.Cuts(nil, data, true); !slices.Equal(got, want) {
					t.Errorf("%s, size %d: cuts at %v, want %v", name, size, got, want)
				}
				c.SetWorkers(3)
				if got := fed(c, data, func() int { return 1 << 20 * (1 + r.IntN(4)) }); !slices.Equal(got, want) {
					t.Errorf("%s, size %d, three workers: cuts at %v, want %v", name, size, got, want)
				}
				c.Reset()
				c.SetWorkers(1)
				if got := fed(c, data, func() int { return r.IntN(1 << 20) }); !slices.Equal(got, want) {
					t.Errorf("%s, size %d, in pieces: cuts at %v, want %v", name, size, got, want)
				}
			}
		}
	}
}

func TestScanFindsEveryCandidate(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for kind := range 5 {
		data := content(r, kind, 80_000)
		for _, bits := range []int{7, 13, 17, 22} {
			all := implementations(t, Params{Pol: vectorPol, MinSize: 64, AverageBits: bits})
			want := everyCandidate(all[plain], data)
			for name, table := range all {
				checkScan(t, fmt.Sprintf("%s, %d bits, kind %d", name, bits, kind), r, table, data, want)
			}
		}
	}
}

// everyCandidate digests the window of each position by itself.
func everyCandidate(table *Table, data []byte) (all []int) {
	for q := windowSize; q <= len(data); q++ {
		if table.tables.digest(data[q-windowSize:q])&table.mask == 0 {
			all = append(all, q)
		}
	}
	return all
}

// checkScan scans all of data and parts of it.
func checkScan(t *testing.T, what string, r *rand.Rand, table *Table, data []byte, want []int) {
	if got := table.Scan(nil, data, 0, len(data)); !slices.Equal(got, want) {
		t.Errorf("%s: %d candidates, want %d", what, len(got), len(want))
	}
	for range 20 {
		from, to := r.IntN(len(data)), r.IntN(len(data)+1)
		part := slices.DeleteFunc(slices.Clone(want), func(q int) bool { return q <= from || q > to })
		if got := table.Scan(nil, data, from, to); !slices.Equal(got, part) {
			t.Errorf("%s, (%d, %d]: %d candidates, want %d", what, from, to, len(got), len(part))
		}
	}
}

func TestScanParallelFindsTheSame(t *testing.T) {
	data := content(rand.New(rand.NewPCG(5, 6)), 0, 3<<20)
	for name, table := range implementations(t, Params{Pol: vectorPol, AverageBits: 14}) {
		if !slices.Equal(table.ScanParallel(nil, data, 0, len(data), 4), table.Scan(nil, data, 0, len(data))) {
			t.Errorf("%s: ScanParallel finds other candidates than Scan", name)
		}
	}
}

func TestZerosAreCutAtTheMinimum(t *testing.T) {
	for name, table := range implementations(t, Params{Pol: vectorPol}) {
		got := table.NewCutter().Cuts(nil, make([]byte, 3*DefaultMinSize+5), true)
		if !slices.Equal(got, []int{DefaultMinSize, 2 * DefaultMinSize, 3 * DefaultMinSize, 3*DefaultMinSize + 5}) {
			t.Errorf("%s: cuts at %v", name, got)
		}
	}
}

func TestReaderReturnsErrors(t *testing.T) {
	broken := errors.New("disk broken")
	r := newTable(t, Params{Pol: vectorPol}).NewReader(io.MultiReader(bytes.NewReader(vectorData(3<<20)), errReader{broken}))
	for {
		if _, err := r.Next(); err != nil {
			if !errors.Is(err, broken) {
				t.Errorf("err = %v", err)
			}
			return
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestNewTableRefuses(t *testing.T) {
	for name, p := range map[string]Params{
		"no polynomial": {},
		"reducible":     {Pol: 1 << 53},
		"degree 52":     {Pol: 0x18f1b5a2c4d3e7 >> 1},
		"small minimum": {Pol: vectorPol, MinSize: 63},
		"negative":      {Pol: vectorPol, MaxSize: -1},
		"bits":          {Pol: vectorPol, AverageBits: 54},
	} {
		if _, err := NewTable(p); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestPolText(t *testing.T) {
	b, err := json.Marshal(vectorPol)
	if err != nil || string(b) != `"3da3358b4dc173"` {
		t.Errorf("%s, %v", b, err)
	}
	var p Pol
	if err := json.Unmarshal(b, &p); err != nil || p != vectorPol {
		t.Errorf("%v, %v", p, err)
	}
	if err := json.Unmarshal([]byte(`"xyz"`), &p); err == nil {
		t.Error("xyz was accepted")
	}
	if random, err := RandomPol(); err != nil || !random.Irreducible() || random>>degree != 1 {
		t.Errorf("RandomPol = %v, %v", random, err)
	}
}

func TestCuttingAllocatesNothing(t *testing.T) {
	data := vectorData(8 << 20)
	for name, table := range implementations(t, Params{Pol: vectorPol}) {
		c := table.NewCutter()
		cuts := make([]int, 0, 100)
		if n := testing.AllocsPerRun(3, func() { cuts = c.Cuts(cuts[:0], data, true) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzCuts(f *testing.F) {
	f.Add([]byte("some text"), uint16(64), uint16(1000), uint8(6), uint16(5))
	f.Add(make([]byte, 5000), uint16(128), uint16(0), uint8(1), uint16(1000))
	f.Fuzz(func(t *testing.T, data []byte, minSize, maxSize uint16, bits uint8, piece uint16) {
		p := Params{Pol: vectorPol, MinSize: 64 + int(minSize)%2000, MaxSize: 1 + int(maxSize), AverageBits: 1 + int(bits)%53}
		data = bytes.Repeat(data, 1+4000/(len(data)+1))
		want := resticCuts(t, p, data)
		for name, table := range implementations(t, p) {
			if got := fed(table.NewCutter(), data, func() int { return 1 + int(piece) }); !slices.Equal(got, want) {
				t.Fatalf("%s, %+v: cuts at %v, want %v", name, p, got, want)
			}
		}
	})
}

// These belong together: cut the same data with ours and with restic's.
func BenchmarkCut(b *testing.B) {
	random := make([]byte, 64<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	for name, data := range map[string][]byte{"random": random, "zeros": make([]byte, 64<<20)} {
		for implementation, table := range implementations(b, Params{Pol: vectorPol}) {
			b.Run(name+"/garner-"+implementation, func(b *testing.B) {
				c := table.NewCutter()
				cuts := make([]int, 0, 1000)
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					cuts = c.Cuts(cuts[:0], data, true)
				}
			})
		}
		b.Run(name+"/restic", func(b *testing.B) {
			c := chunker.New(bytes.NewReader(data), chunker.Pol(vectorPol))
			buf := make([]byte, chunker.MaxSize)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				c.Reset(bytes.NewReader(data), chunker.Pol(vectorPol))
				for {
					if _, err := c.Next(buf); err != nil {
						break
					}
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	data := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	for name, table := range implementations(b, Params{Pol: vectorPol}) {
		b.Run(name, func(b *testing.B) {
			found := make([]int, 0, 100)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				found = table.Scan(found[:0], data, 0, len(data))
			}
		})
	}
}
