package snapshot

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
	"pgregory.net/rapid"
)

// words makes a list of what is separated by spaces; the empty text is nil.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Fields(s)
}

// at makes a snapshot at an hour.
func at(hour int, id byte, host, paths, tags string) *Snapshot {
	return &Snapshot{
		Time: time.Date(2024, 1, 1, hour, 0, 0, 0, time.UTC), ID: crypto.ID{id},
		Hostname: host, Paths: words(paths), Tags: words(tags),
	}
}

func ids(list []*Snapshot) string {
	var b strings.Builder
	for _, sn := range list {
		b.WriteByte(sn.ID[0])
	}
	return b.String()
}

// Compared with `restic snapshots --tag`.
func TestTagListsMatchAsInRestic(t *testing.T) {
	tagged := at(0, 'a', "", "", "a b c a")
	other := at(0, 'b', "", "", "c")
	untagged := at(0, 'c', "", "", "")
	for _, tc := range []struct{ list, want string }{
		{"a", "a"}, {"a,", ""}, {",a", "c"}, {"", "c"}, {"b,a", "a"}, {" c ", "ab"}, {",", "c"}, {"x", ""}, {"a,x", ""}, {"c, a", "a"}, {"A", ""},
	} {
		var matched []*Snapshot
		f := Filter{Tags: []TagList{ParseTags(tc.list)}}
		for _, sn := range []*Snapshot{tagged, other, untagged} {
			if f.Match(sn) {
				matched = append(matched, sn)
			}
		}
		if ids(matched) != tc.want {
			t.Errorf("%q: have %s, want %s", tc.list, ids(matched), tc.want)
		}
	}
	empty := TagList{}
	if empty.Match(tagged) || !empty.Match(untagged) {
		t.Error("the empty list does not ask for untagged snapshots")
	}
}

func TestNewSnapshotsGetTheTagsThatAreNotEmpty(t *testing.T) {
	have := Flatten([]TagList{ParseTags("a, b"), ParseTags(",c,,a"), ParseTags(""), nil})
	if want := []string{"a", "b", "c", "a"}; !slices.Equal(have, want) {
		t.Errorf("have %q, want %q", have, want)
	}
	if have := Flatten([]TagList{ParseTags(" ")}); have != nil {
		t.Errorf("have %q, want nil", have)
	}
}

func TestFiltersSelect(t *testing.T) {
	list := []*Snapshot{
		at(0, 'a', "one", "/home /etc", "daily db"),
		at(1, 'b', "one", "/home", ""),
		at(2, 'c', "two", "/etc", "daily"),
		at(3, 'd', "", "/home", "db"),
	}
	for _, tc := range []struct {
		hosts, tags, paths string
		want               string
	}{
		{"", "", "", "abcd"},
		{"one", "", "", "ab"},
		{"one two", "", "", "abc"},
		{"three", "", "", ""},
		{"", "daily", "", "ac"},
		{"", "daily,db", "", "a"},
		{"", "daily,db db", "", "ad"},
		{"", "", "/home", "abd"},
		{"", "", "/home /etc", "a"},
		{"", "", "/hom", ""},
		{"one", "daily", "/etc", "a"},
		{"two", "daily", "/home", ""},
	} {
		f := Filter{Hosts: words(tc.hosts), Paths: words(tc.paths)}
		for _, l := range words(tc.tags) {
			f.Tags = append(f.Tags, ParseTags(l))
		}
		var matched []*Snapshot
		for _, sn := range list {
			if f.Match(sn) {
				matched = append(matched, sn)
			}
		}
		if ids(matched) != tc.want {
			t.Errorf("%+v: have %s, want %s", f, ids(matched), tc.want)
		}
		if empty := tc.hosts+tc.tags+tc.paths == ""; f.Empty() != empty {
			t.Errorf("%+v: Empty is %v", f, f.Empty())
		}
		latest := Latest(list, f)
		if (latest == nil) != (tc.want == "") || latest != nil && latest.ID[0] != tc.want[len(tc.want)-1] {
			t.Errorf("%+v: latest %+v", f, latest)
		}
	}
}

func TestSnapshotsAreSortedByTimeAndID(t *testing.T) {
	list := []*Snapshot{at(2, 'x', "", "", ""), at(1, 'c', "", "", ""), at(3, 'a', "", "", ""), at(1, 'b', "", "", "")}
	// The same instant as c, in another zone.
	list = append(list, &Snapshot{ID: crypto.ID{'d'}, Time: list[1].Time.In(time.FixedZone("", -7200))})
	SortOldestFirst(list)
	if ids(list) != "bcdxa" {
		t.Errorf("oldest first: %s", ids(list))
	}
	SortNewestFirst(list)
	if ids(list) != "axdcb" {
		t.Errorf("newest first: %s", ids(list))
	}
	if sn := Latest(list[2:], Filter{}); sn.ID[0] != 'd' {
		t.Errorf("latest of three at the same time: %c", sn.ID[0])
	}
	if sn := Latest(nil, Filter{}); sn != nil {
		t.Errorf("latest of none: %+v", sn)
	}
}

func TestParentIsTheLatestThatAgrees(t *testing.T) {
	list := []*Snapshot{
		at(1, 'a', "one", "/home", ""),
		at(2, 'b', "one", "/home /etc", "daily"),
		at(3, 'c', "two", "/home", "daily db"),
		at(4, 'd', "one", "/etc", ""),
		at(9, 'e', "one", "/home", "daily"),
	}
	for _, tc := range []struct {
		hour              int
		host, paths, tags string
		by                string
		want              string
	}{
		{5, "one", "/home", "", "host,paths", "b"}, // the parent may have more paths
		{5, "one", "/home /etc", "", "host,paths", "b"},
		{5, "one", "/home /var", "", "host,paths", ""},
		{9, "one", "/home", "", "host,paths", "e"}, // just as new
		{8, "one", "/home", "", "host,paths", "b"}, // e is newer
		{0, "one", "/home", "", "host,paths", ""},
		{1, "one", "/home", "", "host,paths", "a"},
		{5, "one", "/home", "", "paths", "c"},
		{5, "one", "/none", "", "host", "d"},
		{5, "one", "", "", "host,paths", "d"},
		{5, "x", "/none", "", "", "d"},
		{5, "x", "/none", "daily", "tags", "c"},
		{5, "one", "/home", "daily", "host,tags", "b"},
		{5, "one", "/home", "db daily", "tags", "c"},
		{5, "one", "/home", "weekly", "tags", ""},
		{5, "one", "/home", "", "tags", "d"}, // no tags: any
	} {
		by, err := ParseGrouping(tc.by)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if p := FindParent(list, at(tc.hour, 0, tc.host, tc.paths, tc.tags), by); p != nil {
			got = ids([]*Snapshot{p})
		}
		if got != tc.want {
			t.Errorf("%+v: have %q", tc, got)
		}
	}
}

func TestGroupingsAreParsed(t *testing.T) {
	for _, tc := range []struct {
		text string
		want string
		ok   bool
	}{
		{"", "", true}, {",", "", true}, {"host", "host", true}, {"tags,host", "host,tags", true}, {"paths,tags,host", "host,paths,tags", true},
		{"hosts,path,tag", "host,paths,tags", true}, {"host,host,", "host", true}, {" host", "", false}, {"user", "", false}, {"Host", "", false},
	} {
		g, err := ParseGrouping(tc.text)
		if g.String() != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: have %q, %v", tc.text, g, err)
		}
	}
}

// Compared with `restic snapshots --json --group-by`.
func TestSnapshotsAreGroupedAsInRestic(t *testing.T) {
	list := []*Snapshot{
		at(1, 'a', "h<1>", "/d", "a b c a"),
		at(2, 'b', "h2", "/d/f /d/sub", ""),
		at(3, 'c', "h2", "/d/sub /d/f", "c"),
	}
	for by, want := range map[string]string{
		"": `{"hostname":"","paths":null,"tags":null} abc`,
		"host": `{"hostname":"h2","paths":null,"tags":null} bc
			{"hostname":"h\u003c1\u003e","paths":null,"tags":null} a`,
		"host,paths": `{"hostname":"h2","paths":["/d/f","/d/sub"],"tags":null} bc
			{"hostname":"h\u003c1\u003e","paths":["/d"],"tags":null} a`,
		"tags": `{"hostname":"","paths":null,"tags":null} b
			{"hostname":"","paths":null,"tags":["a","a","b","c"]} a
			{"hostname":"","paths":null,"tags":["c"]} c`,
	} {
		g, err := ParseGrouping(by)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, group := range GroupBy(list, g) {
			b, err := json.Marshal(group.Key)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(b)+" "+ids(group.Snapshots))
		}
		var lines []string
		for line := range strings.Lines(want) {
			lines = append(lines, strings.TrimSpace(line))
		}
		if !slices.Equal(got, lines) {
			t.Errorf("by %q:\nhave %q\nwant %q", by, got, lines)
		}
	}
	if !slices.Equal(list[2].Paths, []string{"/d/sub", "/d/f"}) || list[0].Tags[3] != "a" {
		t.Error("grouping changed the snapshots")
	}
	if groups := GroupBy(nil, Grouping{}); len(groups) != 0 {
		t.Errorf("%d groups of nothing", len(groups))
	}
}

func genList() *rapid.Generator[[]*Snapshot] {
	some := func(t *rapid.T, label string, from ...string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(from), 0, 3).Draw(t, label)
	}
	one := rapid.Custom(func(t *rapid.T) *Snapshot {
		return &Snapshot{
			Time:     time.Unix(rapid.Int64Range(0, 5).Draw(t, "time"), 0),
			ID:       crypto.ID{rapid.Byte().Draw(t, "id")},
			Hostname: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "host"),
			Paths:    some(t, "paths", "/x", "/y", "/z"),
			Tags:     some(t, "tags", "p", "q"),
		}
	})
	return rapid.SliceOfN(one, 0, 12)
}

func TestGroupsAreAPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genList().Draw(t, "list")
		by := Grouping{rapid.Bool().Draw(t, "host"), rapid.Bool().Draw(t, "paths"), rapid.Bool().Draw(t, "tags")}
		agree := func(a, b *Snapshot) bool {
			same := func(a, b []string) bool {
				return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
			}
			return (!by.Host || a.Hostname == b.Hostname) && (!by.Paths || same(a.Paths, b.Paths)) && (!by.Tags || same(a.Tags, b.Tags))
		}
		group := make(map[*Snapshot]int)
		for i, g := range GroupBy(list, by) {
			last := -1
			for _, sn := range g.Snapshots {
				if _, twice := group[sn]; twice {
					t.Fatal("a snapshot is in two groups")
				}
				group[sn] = i
				pos := slices.Index(list, sn)
				if pos < last {
					t.Fatal("a group is not in the list's order")
				}
				last = pos
			}
		}
		for _, a := range list {
			for _, b := range list {
				i, ok := group[a]
				if !ok || (i == group[b]) != agree(a, b) {
					t.Fatalf("group %d, %v: %+v and %+v", i, ok, a, b)
				}
			}
		}
	})
}

func TestLatestIsTheLastOfTheSortedMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genList().Draw(t, "list")
		var f Filter
		if rapid.Bool().Draw(t, "by host") {
			f.Hosts = []string{"a"}
		}
		if rapid.Bool().Draw(t, "by path") {
			f.Paths = []string{"/x"}
		}
		got := Latest(list, f)
		SortOldestFirst(list)
		list = slices.DeleteFunc(list, func(sn *Snapshot) bool { return !f.Match(sn) })
		switch {
		case len(list) == 0:
			if got != nil {
				t.Fatalf("latest of none is %+v", got)
			}
		case got == nil || compare(got, list[len(list)-1]) != 0:
			t.Fatalf("have %+v, want %+v", got, list[len(list)-1])
		}
	})
}
