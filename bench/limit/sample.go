package limit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/garner-backup/garner/chunk"
	"github.com/garner-backup/garner/crypto"
)

const (
	// sampleSize is about how many bytes of the corpus are looked at, in
	// stretches of at most stretch: more than a processor's cache has.
	sampleSize = 24 << 20
	stretch    = 8 << 20
)

// sample is a part of the corpus, as a backup sees it.
type sample struct {
	table  *chunk.Table
	chunks [][]byte // as a backup cuts files, and stretches of large ones
	bytes  int64    // of all chunks
	ids    []crypto.ID
	joined []byte // the chunks, one behind the other
	ends   []int
	buf    []byte
	// key and encoders are as in a backup.
	key         *crypto.Key
	plain, tiny *zstd.Encoder
	decoder     *zstd.Decoder
	frames      [][]byte // the chunks, compressed, one behind the other in memory
	sealed      [][]byte // the frames, sealed
}

// takeSample reads stretches that are spread over the corpus, the same ones each time.
func takeSample(t *Tree) (*sample, error) {
	table, err := chunk.NewTable(chunk.Params{Pol: samplePol})
	if err != nil {
		return nil, err
	}
	m := &sample{table: table, key: crypto.NewKey()}
	type part struct {
		file   file
		offset int64
	}
	var parts []part
	for _, f := range t.files {
		for off := int64(0); off < f.size && f.content > 0; off += stretch {
			parts = append(parts, part{f, off})
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	for _, p := range parts {
		if m.bytes >= sampleSize {
			break
		}
		if err := m.read(p.file.path, p.offset, min(stretch, p.file.size-p.offset)); err != nil {
			return nil, err
		}
	}
	if m.bytes == 0 {
		return nil, errNothing
	}
	return m, m.prepare()
}

// samplePol is an irreducible polynomial of degree 53, as repositories have.
const samplePol chunk.Pol = 0x3DA3358B4DC173

// read cuts a stretch and adds its chunks to the sample, but for those of
// zeros: they are holes, which are not read, and anything is fast with them.
func (m *sample) read(path string, offset, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	p := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(f, offset, size), p)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	from := 0
	for _, end := range m.table.NewCutter().Cuts(nil, p, true) {
		if c := p[from:end]; !zero(c) {
			m.chunks = append(m.chunks, c)
			m.bytes += int64(len(c))
		}
		from = end
	}
	return nil
}

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// prepare makes what the passes share. The options of zstd are those of
// package repo, which keeps them to itself.
func (m *sample) prepare() (err error) {
	encoder := func(level zstd.EncoderLevel) (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithWindowSize(512<<10), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	}
	if m.plain, err = encoder(zstd.SpeedDefault); err != nil {
		return err
	}
	if m.tiny, err = encoder(zstd.SpeedFastest); err != nil {
		return err
	}
	if m.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)); err != nil {
		return err
	}
	m.joined = bytes.Join(m.chunks, nil)
	m.ids = make([]crypto.ID, len(m.chunks))
	for _, c := range m.chunks {
		frame := m.encoder(c).EncodeAll(c, nil)
		m.frames = append(m.frames, frame)
		m.sealed = append(m.sealed, m.key.Seal(nil, frame))
	}
	return nil
}

// encoder returns the one that a backup takes for a chunk.
func (m *sample) encoder(c []byte) *zstd.Encoder {
	if len(c) >= 512 && len(c) < 3<<10 {
		return m.tiny
	}
	return m.plain
}

// passes yields the primitives that work on chunks.
func (m *sample) passes() iter.Seq2[Primitive, pass] {
	return func(yield func(Primitive, pass) bool) {
		for _, x := range []struct {
			p   Primitive
			run func() (int64, error)
		}{{Cut, m.cut}, {Hash, m.hash}, {Compress, m.compress}, {Decompress, m.decompress}, {Seal, m.seal}, {Unseal, m.unseal}} {
			if !yield(x.p, timed(x.run)) {
				return
			}
		}
	}
}

// cut looks at all chunks as one file: in one that is no longer than the
// smallest chunk there is nothing to look at.
func (m *sample) cut() (int64, error) {
	m.ends = m.table.NewCutter().Cuts(m.ends[:0], m.joined, true)
	return m.bytes, nil
}

func (m *sample) hash() (int64, error) {
	const group = 4
	h := crypto.NewHasher()
	for i := 0; i < len(m.chunks); i += group {
		end := min(i+group, len(m.chunks))
		h.Sum(m.ids[i:end], m.chunks[i:end])
	}
	return m.bytes, nil
}

func (m *sample) compress() (int64, error) {
	for _, c := range m.chunks {
		m.buf = m.encoder(c).EncodeAll(c, m.buf[:0])
	}
	return m.bytes, nil
}

func (m *sample) decompress() (int64, error) {
	for i, f := range m.frames {
		var err error
		if m.buf, err = m.decoder.DecodeAll(f, m.buf[:0]); err != nil {
			return 0, err
		}
		if len(m.buf) != len(m.chunks[i]) {
			return 0, fmt.Errorf("%d bytes came back as %d", len(m.chunks[i]), len(m.buf))
		}
	}
	return m.bytes, nil
}

func (m *sample) seal() (n int64, err error) {
	for _, f := range m.frames {
		m.buf = m.key.Seal(m.buf[:0], f)
		n += int64(len(m.buf))
	}
	return n, nil
}

func (m *sample) unseal() (n int64, err error) {
	for _, s := range m.sealed {
		if m.buf, err = m.key.Open(m.buf[:0], s); err != nil {
			return 0, err
		}
		n += int64(len(s))
	}
	return n, nil
}
