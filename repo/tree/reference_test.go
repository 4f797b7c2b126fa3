package tree

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/garner-backup/garner/crypto"
	"pgregory.net/rapid"
)

// reference is a node as encoding/json sees it: the members in the order of
// the format, with tags that leave out what is to be left out.
type reference struct {
	Name       string                     `json:"name"` // quoted
	Type       string                     `json:"type"`
	Mode       fs.FileMode                `json:"mode,omitempty"`
	ModTime    time.Time                  `json:"mtime"`
	AccessTime time.Time                  `json:"atime"`
	ChangeTime time.Time                  `json:"ctime"`
	UID        uint32                     `json:"uid"`
	GID        uint32                     `json:"gid"`
	User       string                     `json:"user,omitempty"`
	Group      string                     `json:"group,omitempty"`
	Inode      uint64                     `json:"inode,omitempty"`
	DeviceID   uint64                     `json:"device_id,omitempty"`
	Size       uint64                     `json:"size,omitempty"`
	Links      uint64                     `json:"links,omitempty"`
	Target     string                     `json:"linktarget,omitempty"`
	RawTarget  []byte                     `json:"linktarget_raw,omitempty"`
	Xattrs     []referenceXattr           `json:"extended_attributes,omitempty"`
	Generic    map[string]json.RawMessage `json:"generic_attributes,omitempty"`
	Device     uint64                     `json:"device,omitempty"`
	Content    []crypto.ID                `json:"content"`
	Subtree    *crypto.ID                 `json:"subtree,omitempty"`
	Error      string                     `json:"error,omitempty"`
}

type referenceXattr struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// toReference quotes the name and clamps the years, with the standard library.
func toReference(n *Node) *reference {
	quoted := strconv.Quote(n.Name)
	r := &reference{
		Name: quoted[1 : len(quoted)-1], Type: string(n.Type), Mode: n.Mode,
		ModTime: clamp(n.ModTime), AccessTime: clamp(n.AccessTime), ChangeTime: clamp(n.ChangeTime),
		UID: n.UID, GID: n.GID, User: n.User, Group: n.Group,
		Inode: n.Inode, DeviceID: n.DeviceID, Size: n.Size, Links: n.Links,
		Target: n.LinkTarget, Generic: n.GenericAttributes, Device: n.Device,
		Content: n.Content, Error: n.Error,
	}
	if !utf8.ValidString(n.LinkTarget) {
		r.RawTarget = []byte(n.LinkTarget)
	}
	for _, x := range n.ExtendedAttributes {
		r.Xattrs = append(r.Xattrs, referenceXattr{x.Name, append([]byte{}, x.Value...)})
	}
	if !n.Subtree.IsZero() {
		r.Subtree = &n.Subtree
	}
	return r
}

func clamp(t time.Time) time.Time {
	year := min(max(t.Year(), 0), 9999)
	if year == t.Year() {
		return t
	}
	return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
}

// fromReference is the way back.
func fromReference(r *reference) (*Node, error) {
	name, err := strconv.Unquote(`"` + r.Name + `"`)
	if err != nil {
		return nil, err
	}
	n := &Node{
		Name: name, Type: NodeType(r.Type), Mode: r.Mode,
		ModTime: r.ModTime, AccessTime: r.AccessTime, ChangeTime: r.ChangeTime,
		UID: r.UID, GID: r.GID, User: r.User, Group: r.Group,
		Inode: r.Inode, DeviceID: r.DeviceID, Size: r.Size, Links: r.Links,
		LinkTarget: r.Target, GenericAttributes: r.Generic, Device: r.Device,
		Content: r.Content, Error: r.Error,
	}
	if len(r.RawTarget) > 0 {
		n.LinkTarget = string(r.RawTarget)
	}
	for _, x := range r.Xattrs {
		n.ExtendedAttributes = append(n.ExtendedAttributes, ExtendedAttribute(x))
	}
	if r.Subtree != nil {
		n.Subtree = *r.Subtree
	}
	return n, nil
}

// decodeReference decodes a tree with encoding/json. Members are looked up in
// maps, since the decoder would otherwise take "NAME" for "name".
func decodeReference(data []byte) ([]Node, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, err
	}
	if top["nodes"] == nil {
		return nil, fmt.Errorf("no nodes")
	}
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(top["nodes"], &list); err != nil {
		return nil, err
	}
	nodes := []Node{}
	for _, members := range list {
		if members == nil {
			return nil, fmt.Errorf("a node is null")
		}
		known := make(map[string]json.RawMessage)
		for _, key := range strings.Fields("name type mode mtime atime ctime uid gid user group inode device_id size links " +
			"linktarget linktarget_raw generic_attributes device content subtree error") {
			if v, ok := members[key]; ok {
				known[key] = v
			}
		}
		again, err := json.Marshal(known)
		if err != nil {
			return nil, err
		}
		var r reference
		if err := json.Unmarshal(again, &r); err != nil {
			return nil, err
		}
		if r.Xattrs, err = decodeReferenceXattrs(members["extended_attributes"]); err != nil {
			return nil, err
		}
		// Marshalling compacts raw values; they are to stay as they are.
		r.Generic = nil
		if raw := members["generic_attributes"]; raw != nil {
			if err := json.Unmarshal(raw, &r.Generic); err != nil {
				return nil, err
			}
		}
		n, err := fromReference(&r)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, *n)
	}
	return nodes, nil
}

func decodeReferenceXattrs(raw json.RawMessage) ([]referenceXattr, error) {
	if raw == nil {
		return nil, nil
	}
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	var xattrs []referenceXattr
	for _, members := range list {
		if members == nil {
			return nil, fmt.Errorf("an extended attribute is null")
		}
		var x referenceXattr
		for key, v := range members {
			var err error
			switch key {
			case "name":
				err = json.Unmarshal(v, &x.Name)
			case "value":
				err = json.Unmarshal(v, &x.Value)
			}
			if err != nil {
				return nil, err
			}
		}
		xattrs = append(xattrs, x)
	}
	return xattrs, nil
}

// sameNode is Equal, and the offsets of the times are the same.
func sameNode(a, b *Node) bool {
	sameTime := func(a, b time.Time) bool {
		return a.Equal(b) && a.Format(time.RFC3339Nano) == b.Format(time.RFC3339Nano)
	}
	return a.Equal(b) && sameTime(a.ModTime, b.ModTime) && sameTime(a.AccessTime, b.AccessTime) &&
		sameTime(a.ChangeTime, b.ChangeTime)
}

// Generators of values that are likely to go wrong.

func genName() *rapid.Generator[string] {
	odd := rapid.SampledFrom([]string{
		`"`, `\`, "\xff", "\xed\xa0\x80", "\x00", "\x01", "\a", "\b", "\f", "\n", "\r", "\t", "\v", "\x1b", "\x7f", "<", ">", "&", "'",
		"\u0085", "\u00a0", "\u00ad", "\u2028", "\u2029", "\ufeff", "\ufffd", "\ufffe", "é", "日", "\U0001f600", "\U000e0001", "\U0010ffff", "/", `\x41`, `\u0041`,
	})
	piece := rapid.OneOf(rapid.StringMatching(`[a-z0-9._ -]{1,6}`), odd, rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 4), func(b []byte) string { return string(b) }),
		rapid.String())
	return rapid.Map(rapid.SliceOfN(piece, 0, 5), func(p []string) string { return strings.Join(p, "") })
}

func genTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		sec := rapid.OneOf(rapid.Int64Range(0, 1<<32), rapid.Int64Range(-1<<38, 1<<39),
			rapid.SampledFrom([]int64{-62135596800, -62167219200, -62167219201, 253402300799, 253402300800, 951782400})).Draw(t, "sec")
		nsec := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 999999999), rapid.SampledFrom([]int64{500000000, 1000, 100, 1, 999999999})).Draw(t, "nsec")
		v := time.Unix(sec, nsec)
		switch rapid.IntRange(0, 2).Draw(t, "zone") {
		case 0:
			return v.UTC()
		case 1:
			return v.Local()
		}
		minutes := rapid.OneOf(rapid.SampledFrom([]int{60, 120, -210, 345, 845, -1439, 1439}), rapid.IntRange(-1439, 1439)).Draw(t, "minutes")
		return v.In(time.FixedZone("odd", 60*minutes))
	})
}

func genID() *rapid.Generator[crypto.ID] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), crypto.IDSize, crypto.IDSize), func(b []byte) crypto.ID { return crypto.ID(b) })
}

func genNumber() *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 100000), rapid.Uint64(),
		rapid.SampledFrom([]uint64{1, 9, 10, 1 << 53, 9999999999999999999, 10000000000000000000, math.MaxInt64, math.MaxUint64}))
}

func genRaw() *rapid.Generator[json.RawMessage] {
	return rapid.OneOf(
		rapid.SampledFrom([]json.RawMessage{
			json.RawMessage(`null`), json.RawMessage(`12`), json.RawMessage(` { "a" : [ 1 , -2.5e+7 , true , false ] } `),
			json.RawMessage(`"<a&b>\u2028\"\\"`), json.RawMessage("\"\u2028\u2029\u202a\""), json.RawMessage("\"\xff\xe2\x80\""), json.RawMessage(`[]`), json.RawMessage("{}"),
			json.RawMessage(`{"LowDateTime":3473744384,"HighDateTime":31090311}`),
		}),
		rapid.Map(rapid.String(), func(s string) json.RawMessage { b, _ := json.Marshal(s); return b }),
	)
}

func genNode() *rapid.Generator[*Node] {
	return rapid.Custom(func(t *rapid.T) *Node {
		n := &Node{
			Name:       genName().Draw(t, "name"),
			Type:       rapid.SampledFrom([]NodeType{TypeFile, TypeDir, TypeSymlink, TypeDevice, TypeCharDevice, TypeFifo, TypeSocket, TypeIrregular, "", "<new>"}).Draw(t, "type"),
			Mode:       fs.FileMode(rapid.Uint32().Draw(t, "mode")),
			ModTime:    genTime().Draw(t, "mtime"),
			AccessTime: genTime().Draw(t, "atime"),
			ChangeTime: genTime().Draw(t, "ctime"),
			UID:        uint32(genNumber().Draw(t, "uid")),
			GID:        uint32(genNumber().Draw(t, "gid")),
			User:       rapid.String().Draw(t, "user"),
			Group:      rapid.SampledFrom([]string{"", "root", "Domain Users", `a\b`}).Draw(t, "group"),
			Inode:      genNumber().Draw(t, "inode"),
			DeviceID:   genNumber().Draw(t, "device id"),
			Size:       genNumber().Draw(t, "size"),
			Links:      genNumber().Draw(t, "links"),
			LinkTarget: genName().Draw(t, "target"),
			Device:     genNumber().Draw(t, "device"),
			Error:      rapid.String().Draw(t, "error"),
		}
		if rapid.Bool().Draw(t, "same atime") {
			n.AccessTime = n.ModTime
		}
		for range rapid.IntRange(0, 2).Draw(t, "xattrs") {
			n.ExtendedAttributes = append(n.ExtendedAttributes, ExtendedAttribute{
				rapid.String().Draw(t, "xattr"), rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value")})
		}
		if rapid.Bool().Draw(t, "has generic") {
			n.GenericAttributes = rapid.MapOfN(rapid.String(), genRaw(), 0, 12).Draw(t, "generic")
		}
		if rapid.Bool().Draw(t, "has content") {
			n.Content = rapid.SliceOfN(genID(), 0, 3).Draw(t, "content")
		}
		if rapid.Bool().Draw(t, "has subtree") {
			n.Subtree = genID().Draw(t, "subtree")
		}
		return n
	})
}

// compacted is what is left of raw values after one encoding.
func compacted(attrs map[string]json.RawMessage) map[string]json.RawMessage {
	attrs = maps.Clone(attrs)
	for k, v := range attrs {
		attrs[k], _ = json.Marshal(v)
	}
	return attrs
}

func TestNodesAreWrittenAsGoEncodesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := genNode().Draw(t, "node")
		want, err := json.Marshal(toReference(n))
		if err != nil {
			t.Fatal(err)
		}
		prefix := []byte("before")
		got, err := AppendNode(slices.Clone(prefix), n)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, append(prefix, want...)) {
			t.Fatalf("have %s\nwant %s", got[len(prefix):], want)
		}
	})
}

func TestNodesReadBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var blob bytes.Buffer
		blob.WriteString(Header)
		var want []*Node
		for i := range rapid.IntRange(0, 3).Draw(t, "nodes") {
			n := genNode().Draw(t, "node")
			if i > 0 {
				blob.WriteByte(',')
			}
			b, err := AppendNode(nil, n)
			if err != nil {
				t.Fatal(err)
			}
			blob.Write(b)
			// What the encoding can't hold:
			n.ModTime, n.AccessTime, n.ChangeTime = clamp(n.ModTime), clamp(n.AccessTime), clamp(n.ChangeTime)
			n.GenericAttributes = compacted(n.GenericAttributes)
			want = append(want, n)
		}
		blob.WriteString(Trailer)
		for _, d := range []*Decoder{NewDecoder(blob.Bytes()), smallStream(&blob)} {
			var n Node // used again and again
			for i, w := range want {
				if err := d.Next(&n); err != nil {
					t.Fatalf("node %d: %v", i, err)
				}
				if !sameNode(&n, w) {
					t.Fatalf("node %d:\nhave %+v\nwant %+v", i, n, *w)
				}
			}
			expectEOF(t, d)
		}
	})
}
