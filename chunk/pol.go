package chunk

import (
	"fmt"
	"strconv"

	"github.com/restic/chunker"
)

// Pol is a polynomial over GF(2): bit i is the coefficient of x^i. Its text
// form is lower-case hexadecimal without prefix or padding.
type Pol uint64

// degree is that of every polynomial in a repository.
const degree = 53

// RandomPol returns a random irreducible polynomial of degree 53.
func RandomPol() (Pol, error) {
	p, err := chunker.RandomPolynomial()
	return Pol(p), err
}

// Irreducible reports whether p is no product of smaller polynomials. Only
// such polynomials spread cut points evenly.
func (p Pol) Irreducible() bool { return p != 0 && chunker.Pol(p).Irreducible() }

// String returns the text form.
func (p Pol) String() string { return strconv.FormatUint(uint64(p), 16) }

// MarshalText returns the text form; with it a Pol is a JSON string.
func (p Pol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses the text form.
func (p *Pol) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil {
		return fmt.Errorf("invalid polynomial %q: %w", b, err)
	}
	*p = Pol(v)
	return nil
}
