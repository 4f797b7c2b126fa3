package chunk

import (
	"errors"
	"io"
)

// Reader cuts what it reads from another reader.
type Reader struct {
	r      io.Reader
	cutter *Cutter
	buf    []byte
	start  int   // of the next chunk in buf
	have   int   // bytes of buf that are filled
	ends   []int // of chunks in buf
	next   int   // of ends
	err    error // of r
}

// readSize is how much a Reader wants to read at least before it cuts.
const readSize = 1 << 20

// NewReader returns a Reader that cuts r.
func (t *Table) NewReader(r io.Reader) *Reader {
	return &Reader{r: r, cutter: t.NewCutter(), buf: make([]byte, 2*readSize)}
}

// Next returns the next chunk, valid until the next call, or io.EOF.
func (r *Reader) Next() ([]byte, error) {
	for r.next == len(r.ends) {
		if r.err != nil {
			return nil, r.err
		}
		r.fill()
	}
	end := r.ends[r.next]
	chunk := r.buf[r.start:end]
	r.start = end
	r.next++
	return chunk, nil
}

// fill reads on and cuts. The chunk that is not complete moves to the front.
func (r *Reader) fill() {
	r.have = copy(r.buf, r.buf[r.start:r.have])
	r.start, r.next, r.ends = 0, 0, r.ends[:0]
	if len(r.buf)-r.have < readSize {
		grown := make([]byte, 2*len(r.buf))
		copy(grown, r.buf[:r.have])
		r.buf = grown
	}
	n, err := io.ReadFull(r.r, r.buf[r.have:])
	r.have += n
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	r.err = err
	if err == nil || errors.Is(err, io.EOF) {
		r.ends = r.cutter.Cuts(r.ends, r.buf[:r.have], err != nil)
	}
}
