package tree

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
)

func TestInvalidNamesAreFound(t *testing.T) {
	for name, valid := range map[string]bool{
		"": false, ".": false, "..": false, "a/b": false, "/": false, "a\x00": false, "../x": false,
		"...": true, "a": true, ".a": true, "..a": true, " ": true, "\xff": true, "a\nb": true, `a\b`: true,
	} {
		err := CheckName(name)
		var invalid *NameError
		if valid != (err == nil) || !valid && (!errors.As(err, &invalid) || invalid.Name != name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNodesAreValidated(t *testing.T) {
	id := crypto.Hash(nil)
	for _, tc := range []struct {
		node  Node
		valid bool
	}{
		{Node{Name: "a", Type: TypeFile, Content: []crypto.ID{}}, true},
		{Node{Name: "a", Type: TypeFile, Content: []crypto.ID{id}}, true},
		{Node{Name: "a", Type: TypeFile}, false},
		{Node{Name: "a", Type: TypeFile, Content: []crypto.ID{}, Subtree: id}, false},
		{Node{Name: "a", Type: TypeDir, Subtree: id}, true},
		{Node{Name: "a", Type: TypeDir}, false},
		{Node{Name: "a", Type: TypeDir, Subtree: id, Content: []crypto.ID{}}, false},
		{Node{Name: "a", Type: TypeSymlink, LinkTarget: "x"}, true},
		{Node{Name: "a", Type: TypeFifo}, true},
		{Node{Name: "a", Type: TypeSocket}, false},
		{Node{Name: "a", Type: TypeIrregular}, false},
		{Node{Name: "a"}, false},
		{Node{Name: "..", Type: TypeFifo}, false},
	} {
		if err := tc.node.Validate(); (err == nil) != tc.valid {
			t.Errorf("%+v: %v", tc.node, err)
		}
	}
}

func TestEveryMemberCountsInComparison(t *testing.T) {
	full := func() *Node {
		now := time.Unix(1700000000, 5)
		return &Node{
			Name: "n", Type: TypeFile, Mode: 1, ModTime: now, AccessTime: now, ChangeTime: now, UID: 1, GID: 1, User: "u", Group: "g",
			Inode: 1, DeviceID: 1, Size: 1, Links: 1, LinkTarget: "t", Device: 1, Content: []crypto.ID{{1}, {2}}, Subtree: crypto.ID{1}, Error: "e",
			ExtendedAttributes: []ExtendedAttribute{{"a", []byte("1")}, {"b", []byte("2")}},
			GenericAttributes:  map[string]json.RawMessage{"x": json.RawMessage("1")},
		}
	}
	for what, change := range map[string]func(*Node){
		"name": func(n *Node) { n.Name = "m" }, "type": func(n *Node) { n.Type = TypeDir }, "mode": func(n *Node) { n.Mode = 2 },
		"mtime": func(n *Node) { n.ModTime = n.ModTime.Add(1) }, "atime": func(n *Node) { n.AccessTime = n.AccessTime.Add(1) },
		"ctime": func(n *Node) { n.ChangeTime = n.ChangeTime.Add(1) }, "uid": func(n *Node) { n.UID = 0 }, "gid": func(n *Node) { n.GID = 0 },
		"user": func(n *Node) { n.User = "" }, "group": func(n *Node) { n.Group = "" }, "inode": func(n *Node) { n.Inode = 2 },
		"device id": func(n *Node) { n.DeviceID = 2 }, "size": func(n *Node) { n.Size = 2 }, "links": func(n *Node) { n.Links = 2 },
		"target": func(n *Node) { n.LinkTarget = "" }, "device": func(n *Node) { n.Device = 2 }, "content": func(n *Node) { n.Content[1] = crypto.ID{3} },
		"no content": func(n *Node) { n.Content = nil }, "subtree": func(n *Node) { n.Subtree = crypto.ID{} }, "error": func(n *Node) { n.Error = "" },
		"attribute's value": func(n *Node) { n.ExtendedAttributes[0].Value = nil }, "attribute": func(n *Node) { n.ExtendedAttributes = n.ExtendedAttributes[:1] },
		"attribute's name": func(n *Node) { n.ExtendedAttributes[1].Name = "a" },
		"generic":          func(n *Node) { n.GenericAttributes["x"] = json.RawMessage("2") },
	} {
		n := full()
		if change(n); n.Equal(full()) || full().Equal(n) {
			t.Errorf("%s does not count", what)
		}
	}
	n := full()
	n.ModTime = n.ModTime.In(time.FixedZone("", 3600))
	n.ExtendedAttributes[0], n.ExtendedAttributes[1] = n.ExtendedAttributes[1], n.ExtendedAttributes[0]
	if !n.Equal(full()) {
		t.Error("time zone or order of attributes counts")
	}
	if empty := (&Node{Content: []crypto.ID{}}); empty.Equal(&Node{}) {
		t.Error("an empty content list equals a missing one")
	}
}
