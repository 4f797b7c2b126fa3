package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Grouping says in what the snapshots of a group agree.
type Grouping struct{ Host, Paths, Tags bool }

// ParseGrouping reads "host", "paths" and "tags", separated by commas, in any
// order and number. The empty string is no grouping: one group of all.
func ParseGrouping(s string) (Grouping, error) {
	var g Grouping
	for _, word := range strings.Split(s, ",") {
		switch word {
		case "":
		case "host", "hosts":
			g.Host = true
		case "path", "paths":
			g.Paths = true
		case "tag", "tags":
			g.Tags = true
		default:
			return Grouping{}, fmt.Errorf("unknown grouping option: %q", word)
		}
	}
	return g, nil
}

// String returns what ParseGrouping reads.
func (g Grouping) String() string {
	var words []string
	if g.Host {
		words = append(words, "host")
	}
	if g.Paths {
		words = append(words, "paths")
	}
	if g.Tags {
		words = append(words, "tags")
	}
	return strings.Join(words, ",")
}

// GroupKey is what the snapshots of a group have in common. Members that the
// grouping does not look at are empty. Its JSON is what restic prints as
// group_key.
type GroupKey struct {
	Hostname string   `json:"hostname"`
	Paths    []string `json:"paths"` // sorted
	Tags     []string `json:"tags"`  // sorted
}

// Key returns the key of the group that the snapshot belongs to.
func (g Grouping) Key(sn *Snapshot) GroupKey {
	var k GroupKey
	if g.Host {
		k.Hostname = sn.Hostname
	}
	if g.Paths {
		k.Paths = slices.Sorted(slices.Values(sn.Paths))
	}
	if g.Tags {
		k.Tags = slices.Sorted(slices.Values(sn.Tags))
	}
	return k
}

func (k *GroupKey) compare(other *GroupKey) int {
	return cmp.Or(cmp.Compare(k.Hostname, other.Hostname), slices.Compare(k.Paths, other.Paths), slices.Compare(k.Tags, other.Tags))
}

// Group is the snapshots with the same key.
type Group struct {
	Key       GroupKey
	Snapshots []*Snapshot
}

// GroupBy divides a list into groups. These are sorted by their keys; in a
// group the snapshots are in the order of the list.
func GroupBy(list []*Snapshot, by Grouping) []Group {
	type keyed struct {
		key GroupKey
		sn  *Snapshot
	}
	sorted := make([]keyed, len(list))
	for i, sn := range list {
		sorted[i] = keyed{by.Key(sn), sn}
	}
	slices.SortStableFunc(sorted, func(a, b keyed) int { return a.key.compare(&b.key) })
	var groups []Group
	for _, s := range sorted {
		n := len(groups)
		if n == 0 || groups[n-1].Key.compare(&s.key) != 0 {
			groups = append(groups, Group{Key: s.key})
			n++
		}
		groups[n-1].Snapshots = append(groups[n-1].Snapshots, s.sn)
	}
	return groups
}
