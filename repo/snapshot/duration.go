package snapshot

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of the calendar: how long a year or a month is depends
// on the day that it is counted back from. No field may be negative.
type Duration struct{ Years, Months, Days, Hours int }

// maxDuration bounds the numbers in a Duration that is read from text, so
// that arithmetic on dates is exact.
const maxDuration = math.MaxInt32

// ParseDuration reads numbers with the units y, m (months), d and h, as in
// "1y5m7d2h", in any order. Of a unit that is there twice, the last counts.
// The empty string is the zero Duration.
func ParseDuration(s string) (Duration, error) {
	var d Duration
	for rest := s; rest != ""; {
		if rest[0] == '-' {
			return Duration{}, fmt.Errorf("duration %q is negative", s)
		}
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if n == 0 {
			return Duration{}, fmt.Errorf("duration %q has no number at %q", s, rest)
		}
		digits := rest[:n]
		if rest = rest[n:]; rest == "" {
			return Duration{}, fmt.Errorf("duration %q has no unit (y, m, d or h) after %s", s, digits)
		}
		v, err := strconv.Atoi(digits)
		if err != nil || v > maxDuration {
			return Duration{}, fmt.Errorf("duration %q: %s is too large", s, digits)
		}
		switch rest[0] {
		case 'y':
			d.Years = v
		case 'm':
			d.Months = v
		case 'd':
			d.Days = v
		case 'h':
			d.Hours = v
		default:
			return Duration{}, fmt.Errorf("duration %q has unknown unit %q after %s: want y, m, d or h", s, []rune(rest)[0], digits)
		}
		rest = rest[1:]
	}
	return d, nil
}

// String returns what ParseDuration reads, from years to hours. That of the
// zero Duration is empty.
func (d Duration) String() string {
	var b strings.Builder
	for _, part := range []struct {
		n    int
		unit byte
	}{{d.Years, 'y'}, {d.Months, 'm'}, {d.Days, 'd'}, {d.Hours, 'h'}} {
		if part.n != 0 {
			b.WriteString(strconv.Itoa(part.n))
			b.WriteByte(part.unit)
		}
	}
	return b.String()
}

// IsZero reports whether the Duration is no time at all.
func (d Duration) IsZero() bool { return d == Duration{} }

// Before returns the time that lies the Duration before t: years, months and
// days on the calendar of t's time zone, then hours.
func (d Duration) Before(t time.Time) time.Time {
	t = t.AddDate(-d.Years, -d.Months, -d.Days)
	// Not t.Add, as a time.Duration ends at 292 years.
	return time.Unix(t.Unix()-int64(d.Hours)*3600, int64(t.Nanosecond())).In(t.Location())
}

var errNegativeDuration = errors.New("a duration can't be negative")

func (d Duration) validate() error {
	if min(d.Years, d.Months, d.Days, d.Hours) < 0 {
		return errNegativeDuration
	}
	return nil
}
