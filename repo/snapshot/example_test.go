package snapshot_test

import (
	"fmt"
	"time"

	"github.com/garner-backup/garner/repo/snapshot"
)

func ExampleDecode() {
	sn, err := snapshot.Decode([]byte(`{"time":"2024-01-02T03:04:05+01:00","tree":null,"paths":["/home"],"hostname":"alpha","tags":["daily"]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sn.Hostname, sn.Paths, sn.Tags, sn.Time)
	// Output: alpha [/home] [daily] 2024-01-02 03:04:05 +0100 +0100
}

func day(d int) time.Time { return time.Date(2024, 1, d, 0, 0, 0, 0, time.UTC) }

func ExampleFilter() {
	list := []*snapshot.Snapshot{
		{Time: day(1), Hostname: "alpha", Tags: []string{"daily"}},
		{Time: day(2), Hostname: "beta", Tags: []string{"daily", "db"}},
		{Time: day(3), Hostname: "alpha"},
	}
	filter := snapshot.Filter{
		Hosts: []string{"alpha", "beta"},
		Tags:  []snapshot.TagList{snapshot.ParseTags("daily,db"), snapshot.ParseTags("")},
	}
	for _, sn := range list {
		if filter.Match(sn) {
			fmt.Println(sn.Hostname, sn.Tags)
		}
	}
	// Output:
	// beta [daily db]
	// alpha []
}

func ExampleGroupBy() {
	list := []*snapshot.Snapshot{
		{Time: day(1), Hostname: "beta", Paths: []string{"/etc", "/home"}},
		{Time: day(2), Hostname: "alpha", Paths: []string{"/home"}},
		{Time: day(3), Hostname: "beta", Paths: []string{"/home", "/etc"}},
	}
	by, err := snapshot.ParseGrouping("host,paths")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, g := range snapshot.GroupBy(list, by) {
		fmt.Println(g.Key.Hostname, g.Key.Paths, len(g.Snapshots))
	}
	// Output:
	// alpha [/home] 1
	// beta [/etc /home] 2
}

func ExamplePolicy() {
	list := []*snapshot.Snapshot{
		{Time: day(1)}, {Time: day(2)}, {Time: day(2).Add(6 * time.Hour)}, {Time: day(3), Tags: []string{"release"}}, {Time: day(4)},
	}
	policy, err := snapshot.ParsePolicy("2d tag release")
	if err != nil {
		fmt.Println(err)
		return
	}
	keep, remove, reasons := snapshot.Apply(list, policy, time.Now())
	for i, sn := range keep {
		fmt.Println(sn.Time.Format(time.DateTime), reasons[i].Matches)
	}
	fmt.Println(len(remove), "to remove")
	// Output:
	// 2024-01-04 00:00:00 [daily snapshot]
	// 2024-01-03 00:00:00 [has tags [release] daily snapshot]
	// 3 to remove
}

func ExampleParsePolicy() {
	policy, err := snapshot.ParsePolicy("30d  weekly 5 last 3 within 1y6m")
	fmt.Println(policy, err)
	_, err = snapshot.ParsePolicy("30d 5weeks")
	fmt.Println(err)
	// Output:
	// last 3 30d 5w within 1y6m <nil>
	// policy "30d 5weeks": 5weeks at position 5: want one of the letters h, d, w, m, y after the number; did you mean `5w`?
}
