package repo

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Compression says how much work goes into making blobs smaller. It has no
// influence on IDs, and none on repositories of version 1, which store
// everything as it is.
type Compression uint8

const (
	// CompressionAuto is zstd's default level.
	CompressionAuto Compression = iota
	// CompressionOff stores data as it is; trees and other metadata are
	// compressed all the same.
	CompressionOff
	// CompressionFastest is zstd's fastest level.
	CompressionFastest
	// CompressionBetter takes about twice the time of auto.
	CompressionBetter
	// CompressionMax is the best and by far the slowest.
	CompressionMax
)

var compressionNames = [...]string{"auto", "off", "fastest", "better", "max"}

// String returns the word that the command line uses.
func (c Compression) String() string {
	if int(c) < len(compressionNames) {
		return compressionNames[c]
	}
	return fmt.Sprintf("invalid(%d)", uint8(c))
}

// ParseCompression is the inverse of String.
func ParseCompression(s string) (Compression, error) {
	for i, name := range compressionNames {
		if s == name {
			return Compression(i), nil
		}
	}
	return 0, fmt.Errorf("invalid compression mode %q, must be one of (auto|off|fastest|better|max)", s)
}

func (c Compression) level() zstd.EncoderLevel {
	switch c {
	case CompressionFastest:
		return zstd.SpeedFastest
	case CompressionBetter:
		return zstd.SpeedBetterCompression
	case CompressionMax:
		return zstd.SpeedBestCompression
	}
	return zstd.SpeedDefault
}

// windowSize is how far back matches reach. It bounds the memory of every
// encoder, and restic's readers expect nothing larger.
const windowSize = 512 << 10

// maxUnpackedSize bounds what an index or a snapshot file may decompress to.
// Index files stay near 8 MiB; the rest is for other writers.
const maxUnpackedSize = 1 << 30

// compressor holds the zstd states of a repository. Each is made when first
// used: a command that only reads needs no encoder.
type compressor struct {
	mode     Compression
	encoders encoderPool
	tiny     encoderPool // for tiny blobs
	// blobDecoder never writes beyond the capacity of the destination.
	blobDecoder     func() (*zstd.Decoder, error)
	unpackedDecoder func() (*zstd.Decoder, error)
}

func newCompressor(mode Compression) *compressor {
	workers := runtime.GOMAXPROCS(0)
	tiny := mode
	if tiny == CompressionAuto {
		tiny = CompressionFastest
	}
	return &compressor{
		mode:     mode,
		encoders: encoderPool{mode: mode},
		tiny:     encoderPool{mode: tiny},
		blobDecoder: sync.OnceValues(func() (*zstd.Decoder, error) {
			return zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecodeAllCapLimit(true))
		}),
		unpackedDecoder: sync.OnceValues(func() (*zstd.Decoder, error) {
			return zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(maxUnpackedSize))
		}),
	}
}

func encoderOptions(mode Compression) []zstd.EOption {
	return []zstd.EOption{
		zstd.WithEncoderLevel(mode.level()),
		zstd.WithWindowSize(windowSize),
		zstd.WithEncoderCRC(false), // Poly1305 and the ID check more than a CRC
	}
}

// compress appends one zstd frame with the content p to dst.
func (c *compressor) compress(dst, p []byte) ([]byte, error) {
	pool := &c.encoders
	if len(p) >= minTiny && len(p) < maxTiny {
		pool = &c.tiny
	}
	enc, err := pool.get()
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	defer pool.put(enc)
	return enc.EncodeAll(p, dst), nil
}

// Blobs of these sizes are compressed with the fastest level where the level is
// up to us: its tables are a fifth as large, and stay in the cache. That takes
// a third less time, and 1 to 3 % more space on text. Shorter and longer ones
// lose more.
const (
	minTiny = 512
	maxTiny = 3 << 10
)

// encoderPool hands each processor the encoder that it used before, whose
// tables, of more than a megabyte at the default level, are in its cache.
type encoderPool struct {
	mode Compression
	free sync.Pool // of *zstd.Encoder
}

func (p *encoderPool) get() (*zstd.Encoder, error) {
	if enc, ok := p.free.Get().(*zstd.Encoder); ok {
		return enc, nil
	}
	return zstd.NewWriter(nil, append(encoderOptions(p.mode), zstd.WithEncoderConcurrency(1))...)
}

func (p *encoderPool) put(enc *zstd.Encoder) { p.free.Put(enc) }

// decodeSpare is room behind the content in bytes. With it the decoder copies
// whole blocks of 16 or 32 bytes, also at the content's end, where otherwise
// all of a small blob goes the slow way.
const decodeSpare = 32

// decompress returns the content of frame, which must be exactly size bytes,
// in dst's memory if its capacity suffices. Up to decodeSpare bytes behind it
// are overwritten too, as far as dst's capacity goes. A frame that holds more
// fails without more memory being used.
func (c *compressor) decompress(dst, frame []byte, size int) ([]byte, error) {
	dec, err := c.blobDecoder()
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if cap(dst) < size {
		dst = make([]byte, 0, size+decodeSpare)
	}
	out, err := dec.DecodeAll(frame, dst[:0:min(cap(dst), size+decodeSpare)])
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if len(out) != size {
		return nil, fmt.Errorf("decompresses to %d bytes instead of %d", len(out), size)
	}
	return out, nil
}

// The first byte of an unpacked file's plaintext in version 2 tells its form.
const unpackedZstd = 2

// packUnpacked turns the JSON of an index, a snapshot or a lock into the
// plaintext that is sealed.
func (c *compressor) packUnpacked(version int, json []byte) ([]byte, error) {
	if version < 2 {
		return json, nil
	}
	return c.compress([]byte{unpackedZstd}, json)
}

// unpackUnpacked is the inverse of packUnpacked. Files written before a
// repository was migrated to version 2 are plain JSON. What is decompressed is
// in the memory of buf, which is replaced if it does not suffice.
func (c *compressor) unpackUnpacked(version int, plain []byte, buf *[]byte) ([]byte, error) {
	if version < 2 || len(plain) == 0 || plain[0] == '{' || plain[0] == '[' {
		return plain, nil
	}
	if plain[0] != unpackedZstd {
		return nil, fmt.Errorf("unknown encoding %#x", plain[0])
	}
	dec, err := c.unpackedDecoder()
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	out, err := dec.DecodeAll(plain[1:], (*buf)[:0])
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return nil, fmt.Errorf("decompresses to more than %d bytes", maxUnpackedSize)
	}
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	*buf = out
	return out, nil
}
