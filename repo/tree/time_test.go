package tree

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimesKeepTheirText(t *testing.T) {
	for _, s := range []string{
		"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999-05:00", "1970-01-01T00:00:00Z",
		"2000-02-29T12:00:00.1+05:45", "2024-07-01T12:00:00.000000001+02:00", "2024-12-31T23:59:59.12-23:59", "9999-12-31T23:59:59.999999999+23:59",
	} {
		var z zones
		v, ok := z.parse([]byte(s))
		if !ok {
			t.Errorf("%s: not parsed", s)
			continue
		}
		if want, _ := time.Parse(time.RFC3339Nano, s); !v.Equal(want) {
			t.Errorf("%s: have %v, want %v", s, v, want)
		}
		if b, err := appendTime(nil, v); err != nil || string(b) != s {
			t.Errorf("have %s, %v; want %s", b, err, s)
		}
	}
}

func TestInvalidTimesAreRefused(t *testing.T) {
	for _, s := range []string{
		"", "Z", "2024-01-02", "2024-01-02T03:04:05", "2024-01-02T03:04:05z", "2024-01-02 03:04:05Z", "2024-01-02t03:04:05Z",
		"2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "2024-01-32T00:00:00Z", "2024-01-00T00:00:00Z", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-04-31T00:00:00Z",
		"2024-01-02T24:00:00Z", "2024-01-02T00:60:00Z", "2024-01-02T00:00:60Z", "2024-01-02T00:00:00.Z",
		"2024-01-02T00:00:00+24:00", "2024-01-02T00:00:00+00:61", "2024-01-02T00:00:00+0100", "2024-01-02T00:00:00+01", "2024-01-02T00:00:00*01:00",
		"2024-01-02T00:00:00Z ", "02024-01-02T00:00:00Z", "-024-01-02T00:00:00Z", "2024-01-02T0a:00:00Z", "2024-01-02T00:00:00.5", "2024-01-02T00:00:00+0a:00",
	} {
		var z zones
		if v, ok := z.parse([]byte(s)); ok {
			t.Errorf("%q: taken for %v", s, v)
		}
	}
}

func TestYearsAreClamped(t *testing.T) {
	for _, tc := range []struct {
		t    time.Time
		want string
	}{
		{time.Date(-5, 3, 4, 5, 6, 7, 8, time.UTC), "0000-03-04T05:06:07.000000008Z"},
		{time.Date(12345, 12, 31, 23, 59, 59, 0, time.UTC), "9999-12-31T23:59:59Z"},
		{time.Date(10000, 2, 29, 0, 0, 0, 0, time.UTC), "9999-03-01T00:00:00Z"}, // 9999 has no such day
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).In(time.FixedZone("", 3600)), "9999-01-01T00:59:59+01:00"},
		{time.Unix(1<<55, 0).UTC(), "9999-06-13T06:26:08Z"},
	} {
		if b, err := appendTime(nil, tc.t); err != nil || string(b) != tc.want {
			t.Errorf("%v: have %s, %v; want %s", tc.t, b, err, tc.want)
		}
	}
}

// Times of the local zone come back as such, whatever the offset at the time.
func TestOffsetsAreThoseOfTheInstant(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones on this machine")
	}
	for _, tc := range []struct {
		t    time.Time
		want string
	}{
		{time.Date(2024, 7, 1, 12, 0, 0, 5e8, berlin), "2024-07-01T12:00:00.5+02:00"},
		{time.Date(2024, 1, 1, 12, 0, 0, 0, berlin), "2024-01-01T12:00:00+01:00"},
		{time.Date(1880, 1, 1, 12, 0, 0, 0, berlin), "1880-01-01T12:00:00+00:53"}, // 53 min 28 s
	} {
		if b, err := appendTime(nil, tc.t); err != nil || string(b) != tc.want {
			t.Errorf("have %s, %v; want %s", b, err, tc.want)
		}
	}
}

func TestTimesAreReadAsGoReadsThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(
			rapid.Map(genTime(), func(v time.Time) string { return clamp(v).Format(time.RFC3339Nano) }),
			rapid.StringMatching(`[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2]?[0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,12})?(Z|[+-][0-2][0-9]:[0-6][0-9])`),
		).Draw(t, "text")
		var want time.Time
		valid := want.UnmarshalJSON([]byte(`"`+s+`"`)) == nil
		if _, offset := want.Zone(); !validOffset(offset) {
			valid = false // could not be written
		}
		var z zones
		got, ok := z.parse([]byte(s))
		if ok != valid {
			t.Fatalf("%q: ok %v, time package says %v", s, ok, valid)
		}
		if !ok {
			return
		}
		_, offset := got.Zone()
		_, wantOffset := want.Zone()
		if !got.Equal(want) || offset != wantOffset {
			t.Fatalf("%q: have %v, want %v", s, got, want)
		}
	})
}
