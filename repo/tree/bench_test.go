package tree

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// ordinaryNodes are files as a home directory has them.
func ordinaryNodes(n int) []Node {
	nodes := make([]Node, n)
	zone := time.FixedZone("", 2*3600)
	for i := range nodes {
		mtime := time.Unix(1_700_000_000+int64(i)*977, int64(i)*12345678%1e9).In(zone)
		nodes[i] = Node{
			Name: fmt.Sprintf("IMG_%06d holiday.jpeg", i), Type: TypeFile, Mode: 0o644,
			ModTime: mtime, AccessTime: mtime, ChangeTime: mtime.Add(1234567 * time.Nanosecond),
			UID: 1000, GID: 1000, User: "alice", Group: "users",
			Inode: 9986505 + uint64(i), DeviceID: 65024, Size: 4_812_345, Links: 1,
			Content: []crypto.ID{crypto.Hash([]byte{byte(i)}), crypto.Hash([]byte{byte(i), 1})},
		}
	}
	return nodes
}

// perNode reports the time for each of n nodes.
func perNode(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/node")
}

func BenchmarkEncode(b *testing.B) {
	nodes := ordinaryNodes(1000)
	b.Run("AppendNode", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = buf[:0]
			for i := range nodes {
				buf, _ = AppendNode(buf, &nodes[i])
			}
		}
		b.SetBytes(int64(len(buf)))
		perNode(b, len(nodes))
	})
	b.Run("encoding-json", func(b *testing.B) {
		refs := make([]*reference, len(nodes))
		for i := range nodes {
			refs[i] = toReference(&nodes[i])
		}
		b.ReportAllocs()
		var buf bytes.Buffer
		for b.Loop() {
			buf.Reset()
			if err := json.NewEncoder(&buf).Encode(refs); err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(buf.Len()))
		perNode(b, len(nodes))
	})
}

func BenchmarkDecode(b *testing.B) {
	const n = 1000
	blob, err := Encode(ordinaryNodes(n))
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B, open func() *Decoder) {
		b.ReportAllocs()
		b.SetBytes(int64(len(blob)))
		var node Node
		for b.Loop() {
			d := open()
			for {
				if err := d.Next(&node); err != nil {
					if err != io.EOF {
						b.Fatal(err)
					}
					break
				}
			}
		}
		perNode(b, n)
	}
	b.Run("memory", func(b *testing.B) { run(b, func() *Decoder { return NewDecoder(blob) }) })
	b.Run("stream", func(b *testing.B) { run(b, func() *Decoder { return NewStreamDecoder(bytes.NewReader(blob)) }) })
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(blob)))
		for b.Loop() {
			var top struct{ Nodes []*reference }
			if err := json.Unmarshal(blob, &top); err != nil {
				b.Fatal(err)
			}
		}
		perNode(b, n)
	})
}
