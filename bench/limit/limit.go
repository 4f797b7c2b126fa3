// Package limit says how fast an operation could be on this machine: how many
// bytes and files it is about, divided by the speed of the primitives that it
// can't do without, such as SHA-256 or opening a file. It is a lower bound for
// the work and no model of garner; what garner takes beyond it is its own.
//
// Measure finds the speeds of the primitives, on the corpus where the data
// matters. Look and Ask find how much work there is. Seconds puts both
// together; Formulas is the table that it goes by.
package limit

import "math"

// Primitive names something that operations consist of.
type Primitive string

// The primitives. Each is measured on one core.
const (
	Stat       Primitive = "lstat"      // a file's metadata, with its share of reading the folder
	Open       Primitive = "open"       // open, fstat, read one byte, close
	Read       Primitive = "read"       // a large file in the page cache
	Cut        Primitive = "cut"        // find cut points
	Hash       Primitive = "hash"       // SHA-256 of chunks, four at a time
	Compress   Primitive = "compress"   // chunks, with zstd as backups do; of plaintext
	Decompress Primitive = "decompress" // the same back; of plaintext
	Seal       Primitive = "seal"       // encrypt and authenticate
	Unseal     Primitive = "unseal"     // verify and decrypt
	Write      Primitive = "write"      // files of 16 MiB, with fsync
	Fill       Primitive = "fill"       // a large file, into the page cache
	Create     Primitive = "create"     // create a file, write a byte, set mode and times, close
	Derive     Primitive = "derive"     // the key from the password; may use several cores
)

// Primitives returns all primitives, in the order of reports.
func Primitives() []Primitive {
	return []Primitive{Stat, Open, Read, Cut, Hash, Compress, Decompress, Seal, Unseal, Write, Fill, Create, Derive}
}

// Unit returns what Speeds count per second.
func (p Primitive) Unit() string {
	switch p {
	case Stat, Open, Create:
		return "files"
	case Derive:
		return "keys"
	}
	return "bytes"
}

// Speeds are units per second on one core. What is missing could not be
// measured.
type Speeds map[Primitive]float64

// Files is what a corpus is, or part of it.
type Files struct {
	Entries int64 // files, folders and all else that has metadata
	Files   int64 // regular ones
	Content int64 // bytes without holes, as far as the system tells
	Large   int64 // those of them that are in files above the smallest chunk
}

// Stored is what a repository has. Plaintext is counted before compression.
type Stored struct {
	Data, Trees             int64 // plaintext, bytes
	StoredData, StoredTrees int64 // sealed and compressed, bytes
}

func (s Stored) plain() int64 { return s.Data + s.Trees }
func (s Stored) bytes() int64 { return s.StoredData + s.StoredTrees }

func (s Stored) minus(t Stored) Stored {
	return Stored{s.Data - t.Data, s.Trees - t.Trees, s.StoredData - t.StoredData, s.StoredTrees - t.StoredTrees}
}

// Work is how much there is to do in the life of a repository. What is nil is
// not known.
type Work struct {
	Corpus  *Files  // before it was changed
	Changed *Files  // only what was changed then
	First   *Stored // after the first backup
	All     *Stored // after the last one
	Cores   int
}

// Seconds returns the least time that an operation takes. It is false if there
// is no sensible bound, or if something that it takes is not known.
func Seconds(operation string, w Work, s Speeds) (float64, bool) {
	formula, ok := Formulas(w)[operation]
	if !ok {
		return 0, false
	}
	sum := 0.0
	for _, t := range formula {
		if t.Amount == 0 {
			continue
		}
		speed := s[t.Primitive]
		if t.Primitive != Derive { // it uses what cores it can in itself
			speed *= float64(max(w.Cores, 1))
		}
		sum += float64(t.Amount) / speed // infinite if not measured
	}
	return sum, !math.IsInf(sum, 0) && sum > 0
}
