package snapshot

import (
	"slices"
	"strings"
	"time"
)

// TagList asks for snapshots that have all its tags. The empty tag, in first
// place, stands for "no tags at all", and so does an empty list. A snapshot
// can't have an empty tag: elsewhere in the list, nothing passes.
type TagList []string

// ParseTags reads a list of tags separated by commas; white space around them
// does not count. Empty tags are kept, because to a filter they mean
// something. See [Flatten] for the tags of a new snapshot.
func ParseTags(s string) TagList {
	tags := TagList(strings.Split(s, ","))
	for i := range tags {
		tags[i] = strings.TrimSpace(tags[i])
	}
	return tags
}

// Flatten returns the tags of several lists in order, without the empty ones:
// those that a new snapshot gets. Tags that are there twice stay.
func Flatten(lists []TagList) []string {
	var tags []string
	for _, l := range lists {
		for _, t := range l {
			if t != "" {
				tags = append(tags, t)
			}
		}
	}
	return tags
}

// Match reports whether the snapshot has all tags of the list.
func (l TagList) Match(sn *Snapshot) bool {
	if len(l) == 0 {
		return len(sn.Tags) == 0
	}
	for _, tag := range l {
		if tag == "" && len(sn.Tags) == 0 {
			return true
		}
		if !slices.Contains(sn.Tags, tag) {
			return false
		}
	}
	return true
}

// Filter selects snapshots. A snapshot must pass all three parts; a part that
// is empty lets everything pass.
type Filter struct {
	Hosts []string  // any of them
	Tags  []TagList // any of them
	Paths []string  // all of them; the snapshot may have more
}

// Empty reports whether every snapshot passes.
func (f *Filter) Empty() bool { return len(f.Hosts) == 0 && len(f.Tags) == 0 && len(f.Paths) == 0 }

// Match reports whether the snapshot passes.
func (f *Filter) Match(sn *Snapshot) bool {
	if len(f.Hosts) > 0 && !slices.Contains(f.Hosts, sn.Hostname) {
		return false
	}
	if len(f.Tags) > 0 && !slices.ContainsFunc(f.Tags, func(l TagList) bool { return l.Match(sn) }) {
		return false
	}
	for _, path := range f.Paths {
		if !slices.Contains(sn.Paths, path) {
			return false
		}
	}
	return true
}

// Latest returns the newest of the snapshots that pass the filter, nil if
// none does. Of several at the same time it is the one with the greatest ID.
func Latest(list []*Snapshot, f Filter) *Snapshot { return latest(list, &f, time.Time{}) }

// latest leaves out snapshots after a time, unless that is zero.
func latest(list []*Snapshot, f *Filter, notAfter time.Time) *Snapshot {
	var found *Snapshot
	for _, sn := range list {
		switch {
		case !notAfter.IsZero() && sn.Time.After(notAfter):
		case found != nil && compare(sn, found) < 0:
		case f.Match(sn):
			found = sn
		}
	}
	return found
}

// FindParent returns the snapshot that the new snapshot sn should be compared
// with, nil if there is none: the latest one that is not newer, and agrees in
// what by says. The other's paths may be more than sn's, and so may its tags.
func FindParent(list []*Snapshot, sn *Snapshot, by Grouping) *Snapshot {
	var f Filter
	if by.Host {
		f.Hosts = []string{sn.Hostname}
	}
	if by.Paths {
		f.Paths = sn.Paths
	}
	if by.Tags && len(sn.Tags) > 0 { // no tags: any snapshot will do
		f.Tags = []TagList{sn.Tags}
	}
	return latest(list, &f, sn.Time)
}
