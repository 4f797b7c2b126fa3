package chunk

import "math/bits"

// windowSize is how many bytes decide whether a position may be a cut.
const windowSize = 64

// shift brings the top eight bits of a digest down.
const shift = degree - 8

// tables are what rolling the fingerprint over a byte needs. The digest of a
// window is its bytes, taken as coefficients, modulo the polynomial.
type tables struct {
	// out is what a byte that leaves the window contributed by then, after
	// the multiplication by x^8 that makes room for the next: b * x^512. It
	// does not depend on the digest, and so is off the critical path.
	out [256]uint64
	// mod reduces a product by x^8: for the top eight bits it clears them
	// and adds their remainder.
	mod [256]uint64
}

func newTables(p Pol) *tables {
	t := new(tables)
	for b := range t.mod {
		top := uint64(b) << degree
		t.mod[b] = top | remainder(top, p)
	}
	for b := range t.out {
		d := uint64(b)
		for range windowSize {
			d = d<<8 ^ t.mod[uint8(d>>shift)]
		}
		t.out[b] = d
	}
	return t
}

// remainder returns v modulo p.
func remainder(v uint64, p Pol) uint64 {
	for v>>degree != 0 {
		v ^= uint64(p) << (bits.Len64(v) - 1 - degree)
	}
	return v
}

// digest returns the digest of a whole window.
func (t *tables) digest(window []byte) uint64 {
	var d uint64
	for _, c := range window {
		d = (d<<8 | uint64(c)) ^ t.mod[uint8(d>>shift)]
	}
	return d
}

// lanes is how many regions scanLanes works on at the same time. The digest of
// one region is a chain in which each step waits for a table look-up; four
// chains keep the processor busy.
const lanes = 4

// scanFirst returns the first position in (from, to] whose digest is zero
// under mask, or -1. from is at least windowSize.
func (t *tables) scanFirst(buf []byte, from, to int, mask uint64) int {
	n := (to - from) / lanes
	if n >= windowSize { // else to roll into the lanes is the larger part
		if at := t.scanLanes(buf, from, n, mask); at >= 0 {
			return at
		}
		from += lanes * n
	}
	return t.scanOne(buf, from, to, mask)
}

// scanAll appends to dst all positions in (from, to] whose digest is zero
// under mask. from is at least windowSize.
func (t *tables) scanAll(dst []int, buf []byte, from, to int, mask uint64) []int {
	for from < to {
		// In steps, so that the lanes stay close: far apart their lines
		// compete for the same places in the cache.
		end := min(from+step, to)
		at := t.scanFirst(buf, from, end, mask)
		if at < 0 {
			from = end
			continue
		}
		// Where one is there may be a run of them. To find each by a call of
		// scanFirst would be to roll into four lanes each time.
		from = min(at+4*windowSize, to)
		dst = t.scanEach(append(dst, at), buf, at, from, mask)
	}
	return dst
}

// scanEach is scanAll with a single lane.
func (t *tables) scanEach(dst []int, buf []byte, from, to int, mask uint64) []int {
	d := t.digest(buf[from-windowSize : from])
	in := buf[from:to]
	old := buf[from-windowSize:][:len(in)]
	for i, c := range in {
		d = (d<<8 | uint64(c)) ^ t.mod[uint8(d>>shift)] ^ t.out[old[i]]
		if d&mask == 0 {
			dst = append(dst, from+i+1)
		}
	}
	return dst
}

// scanOne is scanFirst with a single lane.
func (t *tables) scanOne(buf []byte, from, to int, mask uint64) int {
	if from >= to {
		return -1
	}
	d := t.digest(buf[from-windowSize : from])
	in := buf[from:to]
	old := buf[from-windowSize:][:len(in)]
	for i, c := range in {
		d = (d<<8 | uint64(c)) ^ t.mod[uint8(d>>shift)] ^ t.out[old[i]]
		if d&mask == 0 {
			return from + i + 1
		}
	}
	return -1
}

// scanLanes is scanFirst for four regions of n bytes from from on, one behind
// the other.
func (t *tables) scanLanes(buf []byte, from, n int, mask uint64) int {
	// Each with the window in front, so that one pointer serves for the byte
	// that enters and the one that leaves. All are of one length, which spares
	// the checks in the loop.
	a := buf[from-windowSize : from+n]
	b := buf[from+n-windowSize : from+2*n][:len(a)]
	c := buf[from+2*n-windowSize : from+3*n][:len(a)]
	d := buf[from+3*n-windowSize : from+4*n][:len(a)]

	da := t.digest(a[:windowSize])
	db := t.digest(b[:windowSize])
	dc := t.digest(c[:windowSize])
	dd := t.digest(d[:windowSize])
	for i := windowSize; i < len(a); i++ {
		da = (da<<8 | uint64(a[i])) ^ t.mod[uint8(da>>shift)] ^ t.out[a[i-windowSize]]
		db = (db<<8 | uint64(b[i])) ^ t.mod[uint8(db>>shift)] ^ t.out[b[i-windowSize]]
		dc = (dc<<8 | uint64(c[i])) ^ t.mod[uint8(dc>>shift)] ^ t.out[c[i-windowSize]]
		dd = (dd<<8 | uint64(d[i])) ^ t.mod[uint8(dd>>shift)] ^ t.out[d[i-windowSize]]
		if da&mask == 0 || db&mask == 0 || dc&mask == 0 || dd&mask == 0 {
			hit := [lanes]bool{da&mask == 0, db&mask == 0, dc&mask == 0, dd&mask == 0}
			return t.firstHit(buf, from, n, i-windowSize+1, hit, mask)
		}
	}
	return -1
}

// firstHit returns the first candidate of scanLanes after its lanes went done
// bytes far and some of them hit. The lanes in front of the first that hit may
// still have an earlier one.
func (t *tables) firstHit(buf []byte, from, n, done int, hit [lanes]bool, mask uint64) int {
	for lane := range lanes {
		begin := from + lane*n
		if hit[lane] {
			return begin + done
		}
		if at := t.scanFirst(buf, begin+done, begin+n, mask); at >= 0 {
			return at
		}
	}
	return -1
}
