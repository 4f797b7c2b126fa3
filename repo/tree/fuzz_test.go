package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkAgainstReference decodes a blob in three ways that must agree. What is
// accepted must keep its meaning when it is encoded again.
func checkAgainstReference(t fataler, blob []byte) {
	t.Helper()
	want, wantErr := decodeReference(blob)
	got, err := Decode(blob)
	if (err == nil) != (wantErr == nil) && !refusedOnPurpose(blob, err) {
		t.Fatalf("%q:\nDecode: %v\nencoding/json: %v", blob, err, wantErr)
	}
	streamed, streamErr := readAll(smallStream(bytes.NewReader(blob)))
	if (err == nil) != (streamErr == nil) {
		t.Fatalf("%q:\nin memory: %v\nas stream: %v", blob, err, streamErr)
	}
	if err != nil {
		var format *FormatError
		if !errors.As(err, &format) || !errors.As(streamErr, &format) {
			t.Fatalf("%q: %v, %v: want FormatErrors", blob, err, streamErr)
		}
		return
	}
	if len(got) != len(want) || len(got) != len(streamed) {
		t.Fatalf("%q: %d nodes, %d streamed, want %d", blob, len(got), len(streamed), len(want))
	}
	for i := range got {
		if !sameNode(&got[i], &want[i]) || !sameNode(&got[i], &streamed[i]) {
			t.Fatalf("%q: node %d:\nhave %+v\nstreamed %+v\nwant %+v", blob, i, got[i], streamed[i], want[i])
		}
	}
	checkEncodedAgain(t, got)
}

// refusedOnPurpose tells what Decode does not take and the reference does:
// values that a later member of the same name replaces, and times that could
// not be written again.
func refusedOnPurpose(blob []byte, err error) bool {
	return err != nil && (hasDuplicates(blob) || strings.Contains(err.Error(), `24:`) && strings.HasSuffix(err.Error(), "is not a time"))
}

// hasDuplicates reports whether an object has a key twice. The reference looks
// only at the last value of the key, Decode at all of them.
func hasDuplicates(blob []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(blob))
	dec.UseNumber()
	type object struct {
		seen map[string]bool // nil: a list
		key  bool            // a key is next
	}
	stack := []*object{{}}
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		top := stack[len(stack)-1]
		if key, ok := token.(string); ok && top.key {
			if top.seen[key] {
				return true
			}
			top.seen[key], top.key = true, false
			continue
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			stack = stack[:len(stack)-1]
			continue
		}
		top.key = top.seen != nil
		switch token {
		case json.Delim('{'):
			stack = append(stack, &object{seen: make(map[string]bool), key: true})
		case json.Delim('['):
			stack = append(stack, &object{})
		}
	}
}

func checkEncodedAgain(t fataler, nodes []Node) {
	t.Helper()
	b := []byte(Header)
	for i := range nodes {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = AppendNode(b, &nodes[i]); err != nil {
			t.Fatalf("encode again: %v", err)
		}
	}
	b = append(b, Trailer...)
	again, err := Decode(b)
	if err != nil || len(again) != len(nodes) {
		t.Fatalf("%q: encoded again: %d nodes, %v", b, len(again), err)
	}
	for i := range again {
		nodes[i].GenericAttributes = compacted(nodes[i].GenericAttributes)
		if !sameNode(&again[i], &nodes[i]) {
			t.Fatalf("node %d: %+v\nencoded again: %+v", i, nodes[i], again[i])
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, tc := range resticTrees(f) {
		f.Add([]byte(tc.blob))
	}
	f.Add([]byte(`{"a":[{}],"nodes" : [{"content":["00"], "x":-1.5e7},{"name":"\\u0041\ud83d\ude00","generic_attributes":{"a":{"b":[null]}}}]} `))
	f.Add([]byte(`{"nodes":[{"extended_attributes":[{"name":"a","value":"AA=="}],"linktarget_raw":"/w==","size":18446744073709551615}]}`))
	f.Add([]byte(`{"nodes":null,"z":"` + "\xff" + `"}`))
	f.Fuzz(func(t *testing.T, blob []byte) { checkAgainstReference(t, blob) })
}

// mutate damages a blob the way that keeps it interesting.
func mutate(rng *rand.Rand, blob []byte) []byte {
	tokens := []string{`"`, `\`, `{`, `}`, `[`, `]`, `,`, `:`, ` `, "\n", `null`, `0`, `-`, `1.5`, `e9`, `\u0041`, `\\`, `""`, `{}`, `[]`, "\xff", "\x00", `"name":"x"`, `true`, `"nodes":`}
	b := bytes.Clone(blob)
	for range 1 + rng.IntN(3) {
		i := rng.IntN(len(b) + 1)
		j := min(len(b), i+rng.IntN(12))
		switch rng.IntN(4) {
		case 0: // drop some bytes
			b = append(b[:i:i], b[j:]...)
		case 1: // put something in
			b = append(b[:i:i], append([]byte(tokens[rng.IntN(len(tokens))]), b[i:]...)...)
		case 2: // repeat some bytes
			b = append(b[:j:j], b[i:]...)
		case 3: // flip a bit
			if i < len(b) {
				b[i] ^= 1 << rng.IntN(8)
			}
		}
	}
	return b
}

func TestDamagedTreesAreJudgedAsGoJudgesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, err := AppendNode([]byte(Header), genNode().Draw(t, "node"))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, Trailer...)
		checkAgainstReference(t, b)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for range 20 {
			checkAgainstReference(t, mutate(rng, b))
		}
	})
}
