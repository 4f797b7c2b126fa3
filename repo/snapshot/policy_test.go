package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
)

// clock parses times like "2024-01-31 22:00 +0100".
func clock(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04 -0700", s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var policyNow = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func TestPoliciesKeep(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy Policy
		times  []string // each with the reasons that are expected, or none
	}{
		{"the last ones", Policy{Last: 2}, []string{
			"2024-01-02 00:00 +0000: last snapshot", "2024-01-01 00:01 +0000: last snapshot", "2024-01-01 00:00 +0000",
		}},
		{"the newest of each day", Policy{Daily: 2}, []string{
			"2024-01-03 23:59 +0000: daily snapshot", "2024-01-03 00:00 +0000", "2024-01-01 12:00 +0000: daily snapshot", "2024-01-01 11:00 +0000",
		}},
		{"the oldest while there is a count left", Policy{Daily: 3}, []string{
			"2024-01-03 23:59 +0000: daily snapshot", "2024-01-03 00:00 +0000", "2024-01-03 00:00 -0000: oldest daily snapshot",
		}},
		{"no oldest if it is used up", Policy{Daily: 1}, []string{"2024-01-03 23:59 +0000: daily snapshot", "2024-01-03 00:00 +0000"}},
		{"days of the stored zone", Policy{Daily: 2}, []string{
			"2024-01-03 00:30 +0200: daily snapshot", "2024-01-02 22:29 +0000: daily snapshot", "2024-01-02 00:00 +0000",
		}},
		{"weeks from Monday, across years", Policy{Weekly: 2}, []string{
			"2021-01-04 00:00 +0000: weekly snapshot", "2021-01-03 23:00 +0000: weekly snapshot", "2020-12-28 00:00 +0000", "2020-12-27 00:00 +0000",
		}},
		{"hours, months and years", Policy{Hourly: 1, Monthly: 2, Yearly: Unlimited}, []string{
			"2024-02-01 01:59 +0000: hourly snapshot, monthly snapshot, yearly snapshot", "2024-02-01 01:00 +0000",
			"2024-01-01 00:00 +0000: monthly snapshot", "2023-12-31 23:59 +0000: yearly snapshot", "2022-05-05 05:05 +0000: yearly snapshot",
			"2022-05-05 05:04 +0000: oldest yearly snapshot",
		}},
		{"what is within a time", Policy{Within: Duration{Months: 1}}, []string{
			"2024-03-31 12:00 +0000: within 1m", "2024-03-02 12:01 +0000: within 1m", "2024-03-02 12:00 +0000",
		}},
		{"days within a time", Policy{WithinDaily: Duration{Days: 2, Hours: 1}, WithinYearly: Duration{Years: 1}}, []string{
			"2024-03-31 12:00 +0000: daily within 2d1h, yearly within 1y", "2024-03-31 11:00 +0000", "2024-03-29 11:01 +0000: daily within 2d1h",
			"2024-03-29 11:00 +0000: oldest yearly within 1y",
		}},
		{"within does not begin in the future", Policy{Within: Duration{Hours: 1}}, []string{
			"2031-01-01 00:00 +0000: within 1h", "2024-01-01 02:00 +0000: within 1h", "2024-01-01 01:00 +0000",
		}},
		{"all if all are in the future", Policy{Within: Duration{Hours: 1}}, []string{
			"2033-01-01 00:00 +0000: within 1h", "2031-01-01 00:00 +0000: within 1h",
		}},
		{"the future counts", Policy{Last: 1, Yearly: 2}, []string{
			"2033-01-01 00:00 +0000: last snapshot, yearly snapshot", "2031-01-01 00:00 +0000: yearly snapshot", "2024-01-01 00:00 +0000",
		}},
		{"nothing without a rule", Policy{}, []string{"2024-01-01 00:00 +0000"}},
	} {
		var list []*Snapshot
		var want []string
		for i, line := range test.times {
			when, reasons, _ := strings.Cut(line, ": ")
			list = append(list, &Snapshot{Time: clock(t, when), ID: crypto.ID{byte(len(test.times) - i)}})
			want = append(want, reasons)
		}
		given := slices.Clone(list)
		slices.Reverse(given)
		keep, remove, reasons := Apply(given, &test.policy, policyNow)
		if len(keep)+len(remove) != len(list) || len(reasons) != len(keep) {
			t.Fatalf("%s: %d kept with %d reasons, %d removed", test.name, len(keep), len(reasons), len(remove))
		}
		for i, sn := range list {
			var got string
			if k := slices.Index(keep, sn); k >= 0 {
				got = strings.Join(reasons[k].Matches, ", ")
				if reasons[k].Snapshot != sn {
					t.Errorf("%s: reasons of another snapshot", test.name)
				}
			}
			if got != want[i] {
				t.Errorf("%s: %v is kept for %q, want %q", test.name, sn.Time, got, want[i])
			}
		}
	}
}

func TestTagsKeep(t *testing.T) {
	list := []*Snapshot{{ID: crypto.ID{3}, Tags: []string{"a", "b"}}, {ID: crypto.ID{2}, Tags: []string{"b"}}, {ID: crypto.ID{1}}}
	p := Policy{Tags: []TagList{{"b", "a"}, {"a"}, ParseTags("")}}
	var got []string
	for _, d := range Decide(list, &p, policyNow) {
		got = append(got, fmt.Sprint(d.Snapshot.ID[0], d.Reason().Matches))
	}
	if want := []string{"3 [has tags [b, a] has tags [a]]", "2 []", "1 [has tags []]"}; !slices.Equal(got, want) {
		t.Errorf("have %q, want %q", got, want)
	}
}

func TestMissesSayWhyNot(t *testing.T) {
	list := []*Snapshot{
		{ID: crypto.ID{4}, Time: clock(t, "2024-01-04 02:00 +0000")}, {ID: crypto.ID{3}, Time: clock(t, "2024-01-04 01:00 +0000")},
		{ID: crypto.ID{2}, Time: clock(t, "2024-01-01 01:00 +0000")},
	}
	p := Policy{Daily: 1, Weekly: 2, Within: Duration{Hours: 1}, WithinMonthly: Duration{Years: 1}}
	var got []string
	for _, d := range Decide(list, &p, policyNow) {
		got = append(got, fmt.Sprint(d.Matches, d.Misses))
	}
	want := []string{
		"[within 1h daily snapshot weekly snapshot monthly within 1y] []",
		"[] [within: before 2024-01-04 01:00:00 daily: 1 newer kept weekly: 04000000 is newer within-monthly: 04000000 is newer]",
		"[oldest weekly snapshot oldest monthly within 1y] []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("have %q\nwant %q", got, want)
	}
}

func TestWhatMakesNoSenseIsFound(t *testing.T) {
	for _, p := range []Policy{{Last: -2}, {Yearly: -7}, {Within: Duration{Days: -1}}, {WithinWeekly: Duration{Years: 1, Hours: -1}}} {
		if p.Validate() == nil {
			t.Errorf("%+v passes", p)
		}
	}
	good := Policy{Last: Unlimited, Daily: 3, Within: Duration{Days: 1}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

func genDuration() *rapid.Generator[Duration] {
	return rapid.Custom(func(t *rapid.T) Duration {
		n := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 40))
		return Duration{n.Draw(t, "years"), n.Draw(t, "months"), n.Draw(t, "days"), n.Draw(t, "hours")}
	})
}

func genPolicy() *rapid.Generator[Policy] {
	return rapid.Custom(func(t *rapid.T) Policy {
		n := rapid.OneOf(rapid.Just(0), rapid.IntRange(Unlimited, 40))
		d := rapid.OneOf(rapid.Just(Duration{}), genDuration())
		tags := rapid.Map(rapid.OneOf(rapid.StringMatching(`[ab ,"\\]{0,4}`), rapid.String()), ParseTags)
		return Policy{
			Last: n.Draw(t, "last"), Hourly: n.Draw(t, "hourly"), Daily: n.Draw(t, "daily"),
			Weekly: n.Draw(t, "weekly"), Monthly: n.Draw(t, "monthly"), Yearly: n.Draw(t, "yearly"),
			Within: d.Draw(t, "within"), WithinHourly: d.Draw(t, "within hourly"), WithinDaily: d.Draw(t, "within daily"),
			WithinWeekly: d.Draw(t, "within weekly"), WithinMonthly: d.Draw(t, "within monthly"), WithinYearly: d.Draw(t, "within yearly"),
			Tags: rapid.SliceOfN(tags, 0, 2).Draw(t, "tags"),
		}
	})
}

// TestAPolicyKeepsWhatItSays compares with the meaning of the rules, written
// down without counting.
func TestAPolicyKeepsWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *Snapshot {
			return &Snapshot{Time: time.Unix(rapid.Int64Range(0, 60*24*3600).Draw(t, "time"), 0).UTC(), ID: crypto.ID{rapid.Byte().Draw(t, "id")}}
		}), 0, 30).Draw(t, "list")
		days := rapid.IntRange(1, 40).Draw(t, "days")
		keep, remove, _ := Apply(list, &Policy{Daily: days}, policyNow)
		if !slices.IsSortedFunc(keep, func(a, b *Snapshot) int { return compare(b, a) }) {
			t.Fatal("kept ones are not sorted")
		}
		of := func(list []*Snapshot) map[int]int {
			m := make(map[int]int)
			for _, sn := range list {
				m[day(sn.Time)]++
			}
			return m
		}
		all, kept := of(list), of(keep)
		if want := min(days, len(all)); len(kept) != want {
			t.Fatalf("%d of %d days kept, want %d", len(kept), len(all), want)
		}
		if extra := len(keep) - len(kept); extra > 1 || extra == 1 && len(all) >= days {
			t.Fatalf("%d snapshots for %d days", len(keep), len(kept))
		}
		if len(remove) > 0 && len(all) < days {
			SortOldestFirst(list)
			if !slices.ContainsFunc(keep, func(sn *Snapshot) bool { return compare(sn, list[0]) == 0 }) {
				t.Fatal("the oldest is removed")
			}
		}
		for _, gone := range remove {
			if len(kept) < days && kept[day(gone.Time)] == 0 {
				t.Fatalf("%v removed, with a day to spare", gone.Time)
			}
			for _, sn := range keep {
				if kept[day(gone.Time)] == 0 && day(gone.Time) > day(sn.Time) {
					t.Fatalf("%v removed, %v kept", gone.Time, sn.Time)
				}
			}
		}
	})
}

func TestMoreRulesKeepMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genList().Draw(t, "list")
		a, b := genPolicy().Draw(t, "policy"), genPolicy().Draw(t, "more tags")
		a.Tags, b.Tags = nil, slices.Concat(a.Tags, b.Tags)
		less, _, _ := Apply(list, &a, policyNow)
		a.Tags = b.Tags
		more, removed, reasons := Apply(list, &a, policyNow)
		for _, sn := range less {
			if !slices.Contains(more, sn) {
				t.Fatalf("%v only kept without tags", sn)
			}
		}
		if len(more)+len(removed) != len(list) || len(reasons) != len(more) {
			t.Fatal("not divided in two")
		}
		if a.Empty() != (len(a.Rules()) == 0) || a.Empty() && len(more) > 0 {
			t.Fatal("an empty policy has rules or keeps something")
		}
	})
}

func TestDurationsAreRead(t *testing.T) {
	for text, want := range map[string]Duration{
		"": {}, "1y5m7d2h": {1, 5, 7, 2}, "2h1y": {Years: 1, Hours: 2}, "1d3d": {Days: 3}, "0d": {}, "05m": {Months: 5}, "2147483647h": {Hours: 1<<31 - 1},
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"3": "no unit", "x": "no number", "3x": `unknown unit 'x' after 3`, "1d-2h": "negative", "-3d": "negative", "1w": "unknown unit 'w'",
		" 1d": "no number", "1d 2h": "no number", "99999999999999999999d": "too large", "2147483648d": "too large", "3ä": "unknown unit 'ä'", "3D": "unknown unit 'D'",
	} {
		if d, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, d, err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := genDuration().Draw(t, "duration")
		if got, err := ParseDuration(d.String()); err != nil || got != d || d.IsZero() != (d.String() == "") {
			t.Fatalf("%q: %+v, %v", d.String(), got, err)
		}
	})
}

func TestDurationsAreCountedBackOnTheCalendar(t *testing.T) {
	end := time.Date(2024, 3, 31, 12, 0, 0, 5, time.FixedZone("", 3600))
	for text, want := range map[string]string{
		"1m": "2024-03-02 12:00:00.000000005 +0100", "1y": "2023-03-31 12:00:00.000000005 +0100", "1d2h": "2024-03-30 10:00:00.000000005 +0100",
		"8766000h": "1024-03-24 12:00:00.000000005 +0100", // more than a time.Duration holds
	} {
		d, err := ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Before(end).Format("2006-01-02 15:04:05.000000000 -0700"); got != want {
			t.Errorf("%s before: %s, want %s", text, got, want)
		}
	}
}
