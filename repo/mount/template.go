package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/garner-backup/garner/repo/snapshot"
)

// topNode is something above the snapshots' content: a folder, a snapshot's
// root, or a link. Once it is published it does not change.
type topNode struct {
	name     string
	path     string // from the root, without slashes around it; "" is the root
	ino      uint64
	parent   uint64              // the folder's inode number; the root's own for the root
	children map[string]*topNode // of a folder; else nil
	names    []string            // of children, sorted
	snapshot *snapshot.Snapshot  // nil unless it is a snapshot's root
	target   string              // of a link
	time     time.Time           // of a snapshot, of the one a link leads to, else when the View was made
}

func (n *topNode) isFolder() bool { return n.children != nil }

// topBuilder makes the folders that templates ask for.
type topBuilder struct {
	view *View
	root *topNode
	// latest is the link for each folder that gets one.
	latest map[*topNode]*topNode
}

// buildTop arranges the snapshots, which are sorted oldest first.
func (v *View) buildTop(list []*snapshot.Snapshot) *topNode {
	ino := rootInode(v.repo.Config().ID)
	b := topBuilder{
		view: v, latest: make(map[*topNode]*topNode),
		root: &topNode{ino: ino, parent: ino, children: make(map[string]*topNode), time: v.start},
	}
	for _, t := range v.opts.PathTemplates {
		// What comes before the first pattern is there without a snapshot too.
		if fixed, found := fixedPrefix(t); found {
			b.folder(path.Dir("/" + fixed))
		}
	}
	for _, sn := range list {
		for _, t := range v.opts.PathTemplates {
			for _, p := range expand(t, v.opts.TimeTemplate, sn) {
				b.add(sn, p)
			}
		}
	}
	// Links come last, as they must not take a name that a host or a tag has.
	for dir, link := range b.latest {
		if _, taken := dir.children[link.name]; !taken {
			b.enter(dir, link)
		}
	}
	b.root.sort()
	return b.root
}

// fixedPrefix returns what a template begins with for all snapshots, and
// whether there is something that differs.
func fixedPrefix(template string) (fixed string, found bool) {
	for i := 0; i+1 < len(template); i++ {
		if template[i] != '%' {
			continue
		}
		if i++; strings.IndexByte("iIuhtT", template[i]) >= 0 {
			return expand(template[:i-1], "", &snapshot.Snapshot{})[0].prefix, true
		}
	}
	return "", false
}

func (n *topNode) sort() {
	for name, c := range n.children {
		n.names = append(n.names, name)
		c.sort()
	}
	slices.Sort(n.names)
}

// folder returns the folder at a path, which begins with a slash, and makes
// it if need be. It returns nil if something else is in the way.
func (b *topBuilder) folder(p string) *topNode {
	dir := b.root
	for _, name := range strings.Split(path.Clean(p), "/") {
		if name == "" {
			continue
		}
		next := dir.children[name]
		if next == nil {
			next = &topNode{name: name, children: make(map[string]*topNode), time: b.view.start}
			b.enter(dir, next)
		}
		if !next.isFolder() {
			return nil
		}
		dir = next
	}
	return dir
}

func (b *topBuilder) enter(dir, n *topNode) {
	n.path = strings.TrimPrefix(dir.path+"/"+n.name, "/")
	n.parent = dir.ino
	n.ino = childInode(dir.ino, n.name)
	if n.snapshot != nil {
		// A name may mean another snapshot tomorrow.
		n.ino = childInode(n.ino, string(n.snapshot.ID[:]))
	}
	dir.children[n.name] = n
}

// add gives a snapshot a place, under the first name that is free.
func (b *topBuilder) add(sn *snapshot.Snapshot, p place) {
	for i := 0; ; i++ {
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf("-%d", i)
		}
		full := path.Clean("/" + strings.ReplaceAll(p.prefix+p.time+suffix, "\x00", "_"))
		if full == "/" {
			full += sn.ID.Short() // the root can't be a snapshot
		}
		dir := b.folder(path.Dir(full))
		if dir == nil {
			b.view.opts.Report(fmt.Errorf("snapshot %s: not shown as %s: another one is in the way", sn.ID.Short(), full))
			return
		}
		name := path.Base(full)
		if dir.children[name] != nil {
			continue
		}
		b.enter(dir, &topNode{name: name, snapshot: sn, time: sn.Time})
		if p.time != "" && (p.prefix == "" || strings.HasSuffix(p.prefix, "/")) {
			if base := b.folder("/" + p.prefix); base != nil {
				b.latest[base] = &topNode{name: "latest", target: p.time + suffix, time: sn.Time}
			}
		}
		return
	}
}

// place is where a template puts a snapshot.
type place struct {
	prefix string
	time   string // at the end; empty if the template does not end in %T
}

// expand returns the places of a snapshot.
func expand(template, timeTemplate string, sn *snapshot.Snapshot) []place {
	at := sn.Time.Format(timeTemplate)
	places := []place{{}}
	each := func(s string) {
		for i := range places {
			places[i].prefix += places[i].time + s
			places[i].time = ""
		}
	}
	for i := 0; i < len(template); i++ {
		if template[i] != '%' {
			each(template[i : i+1])
			continue
		}
		if i++; i == len(template) {
			break // a lone % at the end
		}
		switch c := template[i]; c {
		case 'T':
			each("")
			for i := range places {
				places[i].time = at
			}
		case 't':
			places = withTags(places, sn.Tags)
		case 'i':
			each(sn.ID.Short())
		case 'I':
			each(sn.ID.String())
		case 'u':
			each(sn.Username)
		case 'h':
			each(sn.Hostname)
		default:
			each(template[i : i+1])
		}
	}
	return places
}

// withTags returns the places times the tags. Several tags become names of one
// folder each; a single one is taken as it is, so that a slash makes folders.
func withTags(places []place, tags []string) []place {
	var all []place
	for _, tag := range tags {
		if len(tags) > 1 {
			tag = tagName(tag)
		}
		for _, p := range places {
			all = append(all, place{prefix: p.prefix + p.time + tag})
		}
	}
	return all
}

// tagName makes the name of a folder of a tag.
func tagName(tag string) string {
	switch tag {
	case "", ".":
		return "_"
	case "..":
		return "__"
	}
	return strings.ReplaceAll(tag, "/", "_")
}
