package tree

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
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

const (
	exampleTree = `{"nodes":[{"name":"a.txt","type":"file","mode":420,"mtime":"2024-01-02T03:04:05.678901234Z","atime":"2024-01-02T03:04:05.678901234Z","ctime":"2026-11-24T14:40:16.647951131Z","uid":0,"gid":0,"user":"root","group":"root","inode":9986505,"device_id":65024,"size":13,"links":1,"content":["fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f"]},{"name":"link","type":"symlink","mode":134218239,"mtime":"2024-01-02T03:04:06Z","atime":"2024-01-02T03:04:06Z","ctime":"2026-11-24T14:40:16.651951131Z","uid":0,"gid":0,"user":"root","group":"root","inode":9986506,"device_id":65024,"links":1,"linktarget":"a.txt","content":null}]}` + "\n"
	exampleRoot = `{"nodes":[{"name":"demo","type":"dir","mode":2147484141,"mtime":"2024-01-02T03:04:07.5Z","atime":"2024-01-02T03:04:07.5Z","ctime":"2026-11-24T14:40:16.651951131Z","uid":0,"gid":0,"user":"root","group":"root","inode":9986504,"device_id":65024,"content":null,"subtree":"b8461767ff95238d7640bc8fa9eb399f957c841d1b684f1bdf654a3177c00e65"}]}` + "\n"
)

func TestStreamAndMemoryAgree(t *testing.T) {
	for _, blob := range []string{exampleTree, exampleRoot, "{\"nodes\":[]}\n"} {
		nodes, err := Decode([]byte(blob))
		if err != nil {
			t.Fatal(err)
		}
		d := smallStream(bytes.NewReader([]byte(blob)))
		for i := range nodes {
			var n Node
			if err := d.Next(&n); err != nil || !sameNode(&n, &nodes[i]) {
				t.Fatalf("node %d: %+v, %v; want %+v", i, n, err, nodes[i])
			}
		}
		expectEOF(t, d)
	}
}
