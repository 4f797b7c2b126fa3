package pattern_test

import (
	"fmt"

	"github.com/garner-backup/garner/repo/pattern"
)

func ExampleList_Match() {
	excludes, err := pattern.Parse([]string{"*.tmp", "/home/*/.cache", "!keep.tmp"}, nil)
	if err != nil {
		fmt.Println(err)
	}
	for _, path := range []string{"/srv/a.tmp", "/srv/keep.tmp", "/home/u/.cache/x", "/home/u/doc"} {
		excluded, _ := excludes.Match(path)
		fmt.Println(path, excluded)
	}
	// Output:
	// /srv/a.tmp true
	// /srv/keep.tmp false
	// /home/u/.cache/x true
	// /home/u/doc false
}
