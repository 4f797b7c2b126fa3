package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// smallStream decodes with a buffer that hardly holds anything, a byte at a
// time.
func smallStream(r io.Reader) *Decoder {
	d := NewStreamDecoder(iotest.OneByteReader(r))
	d.buf = make([]byte, 0, 7)
	return d
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func expectEOF(t fataler, d *Decoder) {
	t.Helper()
	for range 2 {
		if err := d.Next(new(Node)); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last node: %v, want EOF", err)
		}
	}
}

// readAll reads with one node after the other in new memory.
func readAll(d *Decoder) ([]Node, error) {
	nodes := []Node{}
	for {
		var n Node
		err := d.Next(&n)
		if err == io.EOF {
			return nodes, nil
		}
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
}

const (
	exampleTree = `{"nodes":[{"name":"a.txt","type":"file","mode":420,"mtime":"2024-01-02T03:04:05.678901234Z","atime":"2024-01-02T03:04:05.678901234Z","ctime":"2026-11-24T14:40:16.647951131Z","uid":0,"gid":0,"user":"root","group":"root","inode":9986505,"device_id":65024,"size":13,"links":1,"content":["fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f"]},{"name":"link","type":"symlink","mode":134218239,"mtime":"2024-01-02T03:04:06Z","atime":"2024-01-02T03:04:06Z","ctime":"2026-11-24T14:40:16.651951131Z","uid":0,"gid":0,"user":"root","group":"root","inode":9986506,"device_id":65024,"links":1,"linktarget":"a.txt","content":null}]}` + "\n"
	exampleRoot = `{"nodes":[{"name":"demo","type":"dir","mode":2147484141,"mtime":"2024-01-02T03:04:07.5Z","atime":"2024-01-02T03:04:07.5Z","ctime":"2026-11-24T14:40:16.651951131Z","uid":0,"gid":0,"user":"root","group":"root","inode":9986504,"device_id":65024,"content":null,"subtree":"b8461767ff95238d7640bc8fa9eb399f957c841d1b684f1bdf654a3177c00e65"}]}` + "\n"
	emptyTree   = "{\"nodes\":[]}\n"
)

// resticTree is a blob that restic wrote, with the ID it has in the repository.
type resticTree struct{ name, blob, id string }

func resticTrees(t testing.TB) []resticTree {
	file := func(name string) string {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return []resticTree{
		{"empty", emptyTree, "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8"},
		{"file and link", exampleTree, "b8461767ff95238d7640bc8fa9eb399f957c841d1b684f1bdf654a3177c00e65"},
		{"root", exampleRoot, "22aea7842f852705288d16bf124459c84f9f85237c88a22e46b46dac1353027c"},
		{"names", file("names.json"), "43234da120477ad6b9fda300a67cd26a33f5a5147215f5905a75f9a515443991"},
		{"kinds", file("kinds.json"), "2e3a5d199aa3b76085666a4c1962108549ff44ff5b9f9b5c8d022dc5bb7d65a0"},
	}
}

func TestTreesOfResticKeepTheirIDs(t *testing.T) {
	for _, tc := range resticTrees(t) {
		t.Run(tc.name, func(t *testing.T) {
			for from, d := range map[string]*Decoder{
				"memory": NewDecoder([]byte(tc.blob)), "stream": smallStream(strings.NewReader(tc.blob)),
			} {
				nodes, err := readAll(d)
				if err != nil {
					t.Fatalf("%s: %v", from, err)
				}
				if err := d.Order(); err != nil {
					t.Errorf("%s: %v", from, err)
				}
				expectEncoded(t, nodes, tc)
			}
		})
	}
}

// expectEncoded encodes nodes in both ways.
func expectEncoded(t *testing.T, nodes []Node, want resticTree) {
	t.Helper()
	b, err := Encode(nodes)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want.blob {
		t.Errorf("Encode: have %s\nwant %s", b, want.blob)
	}
	if id := crypto.Hash(b).String(); id != want.id {
		t.Errorf("ID %s, want %s", id, want.id)
	}
	var buf bytes.Buffer
	e := NewEncoder(&buf)
	for i := range nodes {
		if err := nodes[i].Validate(); err != nil {
			t.Error(err)
		}
		if err := e.Add(&nodes[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if buf.String() != want.blob || e.Len() != len(nodes) {
		t.Errorf("Encoder: %d nodes, %s\nwant %d, %s", e.Len(), &buf, len(nodes), want.blob)
	}
}

func TestKindsOfResticAreUnderstood(t *testing.T) {
	nodes, err := Decode([]byte(resticTrees(t)[4].blob))
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*Node)
	for i := range nodes {
		byName[nodes[i].Name] = &nodes[i]
	}
	for name, want := range map[string]struct {
		typ  NodeType
		mode fs.FileMode
	}{
		"block":  {TypeDevice, fs.ModeDevice | 0o600},
		"char":   {TypeCharDevice, fs.ModeDevice | fs.ModeCharDevice | 0o600},
		"f":      {TypeFile, 0o644},
		"link":   {TypeSymlink, fs.ModeSymlink | 0o777},
		"none":   {TypeFile, 0},
		"pipe":   {TypeFifo, fs.ModeNamedPipe | 0o644},
		"sgid":   {TypeDir, fs.ModeDir | fs.ModeSetgid | 0o755},
		"sticky": {TypeDir, fs.ModeDir | fs.ModeSticky | 0o777},
		"suid":   {TypeFile, fs.ModeSetuid | 0o755},
	} {
		n := byName[name]
		if n == nil || n.Type != want.typ || n.Mode != want.mode {
			t.Errorf("%s: %+v, want %+v", name, n, want)
		}
	}
	if n := byName["link"]; n.LinkTarget != "bad\xff<&>" {
		t.Errorf("link target %q", n.LinkTarget)
	}
	if n := byName["block"]; n.Device != 7<<8|300&0xff|(300&^0xff)<<12 {
		t.Errorf("device number %d", n.Device)
	}
	if n := byName["old"]; !n.ModTime.Equal(time.Unix(-1000000000, 0)) {
		t.Errorf("time %v", n.ModTime)
	}
	x := byName["x"].ExtendedAttributes
	if len(x) != 3 || x[0].Name != "user.empty" || len(x[0].Value) != 0 || x[1].Name != "user.a<b" || string(x[1].Value) != "\x00\xff" {
		t.Errorf("extended attributes %q", x)
	}
	if c := byName["none"].Content; c == nil || len(c) != 0 {
		t.Errorf("content of an empty file %v", c)
	}
	if c := byName["pipe"].Content; c != nil {
		t.Errorf("content of a fifo %v", c)
	}
	if c := byName["zeros"].Content; len(c) != 2 || c[0] != crypto.Hash(make([]byte, 512<<10)) {
		t.Errorf("content %v", c)
	}
}

func TestNamesAreQuotedTwice(t *testing.T) {
	for name, want := range map[string]string{
		`a"quote`:              `"a\\\"quote"`,
		`back\slash`:           `"back\\\\slash"`,
		"bad\xff\xfeutf":       `"bad\\xff\\xfeutf"`,
		"tab\tnl\n":            `"tab\\tnl\\n"`,
		"<html>&amp":           `"\u003chtml\u003e\u0026amp"`,
		"bel\aesc\x1bdel\x7f":  `"bel\\aesc\\x1bdel\\x7f"`,
		"\b\f\r\v\x00":         `"\\b\\f\\r\\v\\x00"`,
		"\u0085\u00a0\u00ad":   `"\\u0085\\u00a0\\u00ad"`,
		"\u2028\u2029\ufeff":   `"\\u2028\\u2029\\ufeff"`,
		"é\U0001f600\ufffd日本":  "\"é\U0001f600\ufffd日本\"",
		"\U000e0001\U0010fffe": `"\\U000e0001\\U0010fffe"`,
		"sur\xed\xa0\x80":      `"sur\\xed\\xa0\\x80"`,
		"":                     `""`,
	} {
		b, err := AppendNode(nil, &Node{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, []byte(`{"name":`+want+`,"type"`)) {
			t.Errorf("%q: have %s, want %s", name, b, want)
		}
		n := decodeOne(t, `{"name":`+want+`}`)
		if n.Name != name {
			t.Errorf("%s: have %q, want %q", want, n.Name, name)
		}
	}
}

// inTree makes a tree blob of the JSON of nodes.
func inTree(nodes ...string) string { return Header + strings.Join(nodes, ",") + Trailer }

func decodeOne(t *testing.T, node string) *Node {
	t.Helper()
	nodes, err := Decode([]byte(inTree(node)))
	if err != nil {
		t.Fatalf("%s: %v", node, err)
	}
	return &nodes[0]
}

func TestNamesFromOtherWritersAreUnquoted(t *testing.T) {
	for in, want := range map[string]string{
		`"\\377\\x41\\u00e9\\U0001F600"`: "\xffAé\U0001f600",
		`"\u00e9\ud83d\ude00\/"`:         "é\U0001f600/",
		`"'"`:                            "'",
		"\"raw\xffbyte\"":                "raw\ufffdbyte",
		`"\ud83dx"`:                      "\ufffdx",
		"\"\x7f\"":                       "\x7f",
	} {
		if n := decodeOne(t, `{"name":`+in+`}`); n.Name != want {
			t.Errorf("%s: have %q, want %q", in, n.Name, want)
		}
	}
}

func TestMembersMayComeInAnyOrderAndBeUnknown(t *testing.T) {
	blob := " {\t\"version\" : [1, {\"nodes\": []}, \"\\\"\", -1.5e+3, true, false, null],\r\n" +
		`"nodes" : [ { "content" : [ ] , "new" : {"name":"no","deep":[[]]} , "size" : 18446744073709551615 , "nam\u0065" : "x" , "user":null, "Name":"no"} , ` +
		`{"error":"bad","name":"y","name":"z","type":"dir","content":null,"subtree":null,"generic_attributes":{"b": [1, 2],"a":"x"}} ] , "end":0.5e-1} ` + "\n\n"
	for _, d := range []*Decoder{NewDecoder([]byte(blob)), smallStream(strings.NewReader(blob))} {
		nodes, err := readAll(d)
		if err != nil {
			t.Fatal(err)
		}
		if len(nodes) != 2 {
			t.Fatalf("%d nodes, want 2", len(nodes))
		}
		x, z := nodes[0], nodes[1]
		if x.Name != "x" || x.Size != 1<<64-1 || x.Content == nil || x.User != "" {
			t.Errorf("first node %+v", x)
		}
		if z.Name != "z" || z.Type != TypeDir || z.Content != nil || z.Error != "bad" || string(z.GenericAttributes["b"]) != "[1, 2]" {
			t.Errorf("second node %+v", z)
		}
	}
}

func TestRawLinkTargetOverrides(t *testing.T) {
	n := decodeOne(t, `{"name":"l","linktarget_raw":"YmFk/w==","linktarget":"bad\ufffd"}`)
	if n.LinkTarget != "bad\xff" {
		t.Errorf("target %q", n.LinkTarget)
	}
	n = decodeOne(t, `{"name":"l","linktarget":"x","linktarget_raw":""}`)
	if n.LinkTarget != "x" {
		t.Errorf("target %q", n.LinkTarget)
	}
}

func TestWhatIsNoTreeIsRefused(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for _, blob := range []string{
		"", " ", "null", "[]", "{}", `"nodes"`, `{"nodes":{}}`, `{"nodes":[}`, `{"nodes":[]`, `{"nodes":[]}x`, `{"nodes":[]}{}`,
		`{"nodes":[],}`, `{,"nodes":[]}`, `{"nodes":[],"nodes":[]}`, `{"Nodes":[]}`, `{"nodes" []}`, `{nodes:[]}`, `{"a":1 "nodes":[]}`,
		`{"a":` + deep + `,"nodes":[]}`, `{"a":01,"nodes":[]}`, `{"a":1.,"nodes":[]}`, `{"a":-,"nodes":[]}`, `{"a":1e,"nodes":[]}`, `{"a":tru,"nodes":[]}`,
		`{"a":"\q","nodes":[]}`, `{"a":"\u12g4","nodes":[]}`, "{\"a\":\"\n\",\"nodes\":[]}", `{"a":,"nodes":[]}`, `{"a":[1,],"nodes":[]}`, `{"a":{"b"},"nodes":[]}`,
		inTree(`null`), inTree(`[]`), inTree(`"x"`), inTree(``, ``), inTree(`{}`, ``), `{"nodes":[{} {}]}`, inTree(`{"name":"x",}`),
		inTree(`{"name":1}`), inTree(`{"name":"\\"}`), inTree(`{"name":"a\"b"}`), inTree(`{"name":"a\nb"}`), inTree(`{"name":"\\'"}`), inTree(`{"name":"\\xz"}`),
		inTree(`{"type":1}`), inTree(`{"mode":-1}`), inTree(`{"mode":4294967296}`), inTree(`{"mode":"1"}`), inTree(`{"uid":1.0}`), inTree(`{"uid":1e3}`),
		inTree(`{"size":18446744073709551616}`), inTree(`{"size":99999999999999999999999}`), inTree(`{"size":-0}`), inTree(`{"size":true}`), inTree(`{"size":nul}`),
		inTree(`{"content":{}}`), inTree(`{"content":[null]}`), inTree(`{"content":["ab"]}`), inTree(`{"content":["` + strings.Repeat("A", 64) + `"]}`),
		inTree(`{"content":["` + strings.Repeat("g", 64) + `"]}`), inTree(`{"content":[` + strings.Repeat("1", 66) + `]}`), inTree(`{"subtree":1}`), inTree(`{"subtree":""}`),
		inTree(`{"linktarget_raw":"!"}`), inTree(`{"linktarget_raw":"YQ"}`), inTree(`{"extended_attributes":[null]}`), inTree(`{"extended_attributes":[{"value":1}]}`),
		inTree(`{"extended_attributes":{}}`), inTree(`{"generic_attributes":[]}`), inTree(`{"generic_attributes":{"a"}}`),
	} {
		for from, d := range map[string]*Decoder{
			"memory": NewDecoder([]byte(blob)), "stream": smallStream(strings.NewReader(blob)),
		} {
			nodes, err := readAll(d)
			var format *FormatError
			if !errors.As(err, &format) {
				t.Errorf("%s: %.80s: %d nodes, %v; want a FormatError", from, blob, len(nodes), err)
				continue
			}
			if format.Offset < 0 || format.Offset > int64(len(blob)) {
				t.Errorf("%s: %.80s: offset %d", from, blob, format.Offset)
			}
			if again := d.Next(new(Node)); again != err {
				t.Errorf("%s: %.80s: then %v, want %v again", from, blob, again, err)
			}
		}
	}
}

func TestTruncationIsNoticedEverywhere(t *testing.T) {
	for _, tc := range resticTrees(t) {
		for n := range len(tc.blob) - 1 { // the line feed may be missing
			if n > 800 && n%7 != 0 {
				continue
			}
			for _, d := range []*Decoder{NewDecoder([]byte(tc.blob[:n])), NewStreamDecoder(strings.NewReader(tc.blob[:n]))} {
				if _, err := readAll(d); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%s cut off at %d: %v", tc.name, n, err)
				}
			}
		}
	}
}

func TestErrorsOfTheReaderArePassedOn(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, n := range []int{0, 5, 100, len(exampleTree)} {
		r := io.MultiReader(strings.NewReader(exampleTree[:n]), iotest.ErrReader(broken))
		if _, err := readAll(NewStreamDecoder(r)); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	// A decompressor says this of cut-off input; it must not pass for the end.
	r := io.MultiReader(strings.NewReader(exampleTree), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := readAll(NewStreamDecoder(r)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reader that ends unexpectedly: %v", err)
	}
}

func TestNodesOfOldTreesMayBeOutOfOrder(t *testing.T) {
	for _, tc := range []struct {
		names []string
		want  *OrderError
	}{
		{[]string{"Z", "a", "a\"", "a.", "a0"}, nil},
		{[]string{"b", "a", "a"}, &OrderError{"b", "a"}},
		{[]string{"a", "b", "b"}, &OrderError{"b", "b"}},
		{[]string{"", "a"}, nil},
		{[]string{"~", "\xff", "é"}, &OrderError{"\xff", "é"}},
	} {
		b := []byte(Header)
		for i, name := range tc.names {
			if i > 0 {
				b = append(b, ',')
			}
			b, _ = AppendNode(b, &Node{Name: name})
		}
		d := NewDecoder(append(b, Trailer...))
		nodes, err := readAll(d)
		if err != nil || len(nodes) != len(tc.names) {
			t.Errorf("%q: %d nodes, %v", tc.names, len(nodes), err)
		}
		var order *OrderError
		if errors.As(d.Order(), &order) != (tc.want != nil) || order != nil && *order != *tc.want {
			t.Errorf("%q: order %v, want %v", tc.names, d.Order(), tc.want)
		}
		_, err = Encode(nodes)
		if errors.As(err, &order) != (tc.want != nil) {
			t.Errorf("%q: Encode: %v", tc.names, err)
		}
	}
}

func TestEncoderLeavesOutWhatItRefuses(t *testing.T) {
	var buf bytes.Buffer
	e := NewEncoder(&buf)
	var order *OrderError
	for _, n := range []struct {
		node Node
		want bool
	}{
		{Node{Name: "a"}, true},
		{Node{Name: "a"}, false},
		{Node{Name: "Z"}, false},
		{Node{Name: "b", ModTime: time.Unix(0, 0).In(time.FixedZone("", 86400))}, false},
		{Node{Name: "b", GenericAttributes: map[string]json.RawMessage{"x": json.RawMessage("{")}}, false},
		{Node{Name: "b", GenericAttributes: map[string]json.RawMessage{"x": {}}}, false},
		{Node{Name: "b", GenericAttributes: map[string]json.RawMessage{"x": json.RawMessage("1 2")}}, false},
		{Node{Name: "b", Size: 7}, true},
	} {
		err := e.Add(&n.node)
		if (err == nil) != n.want {
			t.Errorf("%+v: %v", n.node, err)
		}
		if !n.want && n.node.Name < "b" && !errors.As(err, &order) {
			t.Errorf("%q: %v, want an OrderError", n.node.Name, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	nodes, err := Decode(buf.Bytes())
	if err != nil || len(nodes) != 2 || nodes[0].Name != "a" || nodes[1].Size != 7 || e.Len() != 2 {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

func TestFailedNodeLeavesTheBufferAsItWas(t *testing.T) {
	before := []byte("before")
	for _, n := range []*Node{
		{ChangeTime: time.Unix(0, 0).In(time.FixedZone("", -86400))},
		{GenericAttributes: map[string]json.RawMessage{"a": json.RawMessage("nope")}},
	} {
		if b, err := AppendNode(before, n); err == nil || string(b) != "before" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

func TestEncoderWritesWhileNodesAreAdded(t *testing.T) {
	var written countingWriter
	e := NewEncoder(&written)
	for i := range 5000 {
		if err := e.Add(&Node{Name: fmt.Sprintf("%08d", i), Type: TypeFile}); err != nil {
			t.Fatal(err)
		}
		if len(e.buf) > 2*flushSize {
			t.Fatalf("%d bytes held back", len(e.buf))
		}
	}
	if written == 0 {
		t.Error("nothing written before the end")
	}
}

type countingWriter int

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

func TestEncoderKeepsReportingThatItCanNotWrite(t *testing.T) {
	full := errors.New("disk full")
	e := NewEncoder(failingWriter{full})
	var err error
	for i := 0; err == nil && i < 5000; i++ {
		err = e.Add(&Node{Name: fmt.Sprintf("%08d", i)})
	}
	if !errors.Is(err, full) {
		t.Errorf("Add: %v", err)
	}
	if err := e.Add(&Node{Name: "z"}); !errors.Is(err, full) {
		t.Errorf("Add again: %v", err)
	}
	if err := e.Close(); !errors.Is(err, full) {
		t.Errorf("Close: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestNodesDoNotReferToTheInput(t *testing.T) {
	blob := []byte(resticTrees(t)[4].blob)
	want, err := Decode(blob)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v", want)
	for i := range blob {
		blob[i] = 'x'
	}
	if now := fmt.Sprintf("%+v", want); now != text {
		t.Errorf("changed with the input: %s\nwas %s", now, text)
	}
}

func TestLargeNodesPassThroughTheStream(t *testing.T) {
	big := Node{Name: "big", Type: TypeFile, Content: make([]crypto.ID, 5000)} // 335 kB, five buffers
	for i := range big.Content {
		big.Content[i] = crypto.Hash([]byte{byte(i), byte(i >> 8)})
	}
	nodes := []Node{{Name: "a"}, big, {Name: "c", Type: TypeDir}}
	blob, err := Encode(nodes)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(NewStreamDecoder(bytes.NewReader(blob)))
	if err != nil || len(got) != 3 {
		t.Fatalf("%d nodes, %v", len(got), err)
	}
	for i := range got {
		if !got[i].Equal(&nodes[i]) {
			t.Errorf("node %d differs", i)
		}
	}
}

func TestStreamNeedsNoMoreMemoryThanANode(t *testing.T) {
	var node bytes.Buffer
	b, _ := AppendNode(nil, &Node{Name: "n", Type: TypeFile, Content: []crypto.ID{{1}}})
	node.Write(append(b, ','))
	const copies = 20000
	r := io.MultiReader(strings.NewReader(Header), &repeatReader{data: node.Bytes(), left: copies}, strings.NewReader(`{}`+Trailer))
	d := NewStreamDecoder(r)
	var n Node
	count := 0
	for ; ; count++ {
		if err := d.Next(&n); err != nil {
			if err != io.EOF {
				t.Fatal(err)
			}
			break
		}
	}
	if count != copies+1 {
		t.Errorf("%d nodes", count)
	}
	if cap(d.buf) != streamBuffer {
		t.Errorf("buffer grew to %d", cap(d.buf))
	}
}

type repeatReader struct {
	data []byte
	off  int
	left int
}

func (r *repeatReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.data[r.off:])
	if r.off += n; r.off == len(r.data) {
		r.off = 0
		r.left--
	}
	return n, nil
}

func TestCodecNeedsLittleMemory(t *testing.T) {
	nodes := ordinaryNodes(50)
	blob, err := Encode(nodes)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 2*len(blob))
	if n := testing.AllocsPerRun(20, func() {
		for i := range nodes {
			buf, _ = AppendNode(buf[:0], &nodes[i])
		}
	}); n != 0 {
		t.Errorf("encoding allocates %v times", n)
	}
	var n Node
	if per := testing.AllocsPerRun(20, func() {
		for d := NewDecoder(blob); d.Next(&n) == nil; {
		}
	}) / float64(len(nodes)); per > 1.5 { // the name, and a little for the whole
		t.Errorf("decoding allocates %v times per node", per)
	}
}
