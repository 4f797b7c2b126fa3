package tree

import (
	"errors"
	"time"
)

var errZone = errors.New("time zone offset of a day or more")

// appendTime appends t in its own location. A year that the form can't hold
// is replaced by the nearest one; day and time of day stay.
func appendTime(b []byte, t time.Time) ([]byte, error) {
	if year := t.Year(); year < 0 {
		t = t.AddDate(-year, 0, 0)
	} else if year > 9999 {
		t = t.AddDate(9999-year, 0, 0)
	}
	if _, offset := t.Zone(); !validOffset(offset) {
		return nil, errZone
	}
	return t.AppendFormat(b, time.RFC3339Nano), nil
}

// validOffset reports whether an offset in seconds can be written.
func validOffset(offset int) bool { return offset > -24*3600 && offset < 24*3600 }

// zones holds the locations of times that were read.
type zones struct {
	fixed map[int]*time.Location // by seconds east of UTC

	date      [3]int // year, month and day that were last looked up
	dayNumber int
}

// parse reads a time. The time's location gives the same offset back when it is
// encoded again; it is the local one if that has the offset at that instant.
func (z *zones) parse(s []byte) (time.Time, bool) {
	if t, ok := z.parseExact(s); ok {
		return t, true
	}
	// Go takes a little more for RFC 3339 than that says, such as an hour of
	// one digit, and so restic does.
	t, err := time.Parse(time.RFC3339, string(s))
	if err != nil {
		return time.Time{}, false
	}
	_, offset := t.Zone()
	return t, validOffset(offset)
}

// parseExact reads the form that appendTime writes.
func (z *zones) parseExact(s []byte) (time.Time, bool) {
	const full = len("2006-01-02T15:04:05")
	if len(s) <= full || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	d := digits{ok: true}
	year := 100*d.two(s) + d.two(s[2:])
	month, day := d.two(s[5:]), d.two(s[8:])
	hour, minute, second := d.two(s[11:]), d.two(s[14:]), d.two(s[17:])
	nsec, n := fraction(s[full:])
	offset, ok := parseOffset(s[full+n:])
	if !ok || !d.ok || month < 1 || month > 12 || day < 1 || day > daysIn(month, year) ||
		hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	seconds := int64(z.days(year, month, day))*(24*3600) + int64(hour*3600+minute*60+second-offset)
	t := time.Unix(seconds, int64(nsec)).UTC()
	if offset == 0 {
		return t, true
	}
	return z.in(t, offset), true
}

// days returns the number of days from 1970 on to a valid date. Most times of
// a tree are of a few days, and often of the one before.
func (z *zones) days(year, month, day int) int {
	date := [3]int{year, month, day}
	if z.date != date { // no date has zeros only
		z.date = date
		z.dayNumber = int(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix() / (24 * 3600))
	}
	return z.dayNumber
}

// in gives t a location of that offset.
func (z *zones) in(t time.Time, offset int) time.Time {
	local := t.Local()
	if _, o := local.Zone(); o == offset {
		return local
	}
	loc := z.fixed[offset]
	if loc == nil {
		loc = time.FixedZone("", offset)
		if z.fixed == nil {
			z.fixed = make(map[int]*time.Location)
		}
		z.fixed[offset] = loc
	}
	return t.In(loc)
}

// digits reads decimal numbers; ok becomes false at what is none.
type digits struct{ ok bool }

func (d *digits) two(s []byte) int {
	hi, lo := s[0]-'0', s[1]-'0'
	if hi > 9 || lo > 9 {
		d.ok = false
	}
	return int(hi)*10 + int(lo)
}

// fraction reads the nanoseconds after the seconds, if there are any, and
// returns how many bytes they take. Digits beyond the ninth do not count.
func fraction(s []byte) (nsec, n int) {
	if len(s) < 2 || s[0] != '.' || s[1]-'0' > 9 {
		return 0, 0
	}
	scale := int(time.Second)
	for n = 1; n < len(s) && s[n]-'0' <= 9; n++ {
		scale /= 10
		nsec += int(s[n]-'0') * scale
	}
	return nsec, n
}

// parseOffset reads Z or ±hh:mm as seconds east of UTC.
func parseOffset(s []byte) (int, bool) {
	if len(s) == 1 && s[0] == 'Z' {
		return 0, true
	}
	if len(s) != len("+00:00") || s[3] != ':' || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	d := digits{ok: true}
	hours, minutes := d.two(s[1:]), d.two(s[4:])
	if !d.ok || hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := hours*3600 + minutes*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func daysIn(month, year int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}
