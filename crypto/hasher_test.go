package crypto

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// hashers are the implementations that work on this machine.
func hashers(t testing.TB) map[string]Hasher {
	all := map[string]Hasher{"serial": {}}
	if haveLanes() {
		all["lanes"] = Hasher{lanes: true}
	} else {
		t.Log("this processor has no instructions for SHA-256 in lanes")
	}
	return all
}

// agree compares a Hasher with the standard library.
func agree(t interface{ Errorf(string, ...any) }, h Hasher, msgs [][]byte) {
	// Marks what is not set, and what is set beyond the end.
	ids := slices.Repeat([]ID{{0xee}}, len(msgs)+1)
	h.Sum(ids[:len(msgs)], msgs)
	for i, m := range msgs {
		if want := ID(sha256.Sum256(m)); ids[i] != want {
			t.Errorf("message %d of %d, %d bytes: %v, want %v", i, len(msgs), len(m), ids[i], want)
		}
	}
	if (ids[len(msgs)] != ID{0xee}) {
		t.Errorf("an ID behind the last was set")
	}
}

// content returns n bytes that differ by seed and position.
func content(seed, n int) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// The examples of FIPS 180-2, appendix B, and of the secure hash algorithm
// validation system for the empty message.
func TestHasherKnowsTheStandardsExamples(t *testing.T) {
	examples := []struct{ message, digest string }{
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
			"cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
		{strings.Repeat("a", 1e6), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
	}
	for name, h := range hashers(t) {
		ids, msgs := make([]ID, len(examples)), make([][]byte, len(examples))
		for i, e := range examples {
			msgs[i] = []byte(e.message)
		}
		h.Sum(ids, msgs)
		for i, e := range examples {
			if ids[i].String() != e.digest {
				t.Errorf("%s: message of %d bytes: %v, want %s", name, len(e.message), ids[i], e.digest)
			}
		}
	}
}

func TestHasherAtAllLengths(t *testing.T) {
	for name, h := range hashers(t) {
		t.Run(name, func(t *testing.T) {
			for count := range 10 {
				for length := range 301 {
					// Neighbours of different lengths end at different times.
					msgs := make([][]byte, count)
					for i := range msgs {
						msgs[i] = content(length+i, (length+i*i*37)%301)
					}
					agree(t, h, msgs)
				}
			}
		})
	}
}

// A call of the assembly has a limit, which long messages exceed.
func TestHasherOfLongMessages(t *testing.T) {
	for name, h := range hashers(t) {
		t.Run(name, func(t *testing.T) {
			msgs := [][]byte{content(1, 1<<20), content(2, 32<<10), content(3, 32<<10+1), content(4, 100), content(5, 300_000), nil, content(6, 64<<10)}
			for n := range len(msgs) + 1 {
				agree(t, h, msgs[:n])
				agree(t, h, msgs[n:])
			}
		})
	}
}

func TestHasherProperty(t *testing.T) {
	lengths := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 8<<10), rapid.IntRange(30<<10, 80<<10))
	all := hashers(t)
	buf := content(7, 100<<10)
	rapid.Check(t, func(t *rapid.T) {
		msgs := make([][]byte, rapid.IntRange(0, 20).Draw(t, "count"))
		for i := range msgs {
			from := rapid.IntRange(0, 1000).Draw(t, "from") // any alignment
			msgs[i] = buf[from : from+lengths.Draw(t, "length")]
		}
		for _, h := range all {
			agree(t, h, msgs)
		}
	})
}

func TestHasherLeavesMessagesAlone(t *testing.T) {
	for name, h := range hashers(t) {
		msgs := [][]byte{content(1, 1000), content(2, 64), content(3, 129)}
		before := slices.Clone(msgs)
		for i := range before {
			before[i] = bytes.Clone(before[i])
		}
		h.Sum(make([]ID, 3), msgs)
		if !slices.EqualFunc(msgs, before, bytes.Equal) {
			t.Errorf("%s changed a message", name)
		}
	}
}

func TestHasherDoesNotAllocate(t *testing.T) {
	for name, h := range hashers(t) {
		msgs := [][]byte{content(1, 1000), content(2, 64), content(3, 129), nil, content(4, 5000), content(5, 5000)}
		if n := testing.AllocsPerRun(100, func() {
			var ids [6]ID
			h.Sum(ids[:], msgs)
		}); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// FuzzHasher cuts content into messages after the lengths in cuts, two bytes
// each.
func FuzzHasher(f *testing.F) {
	f.Add([]byte{0, 0, 0, 64, 0, 119, 0, 120, 1, 0}, content(1, 1000))
	f.Add([]byte{0, 3, 0, 0, 0, 55, 0, 56}, content(2, 200))
	f.Fuzz(func(t *testing.T, cuts, content []byte) {
		var msgs [][]byte
		for len(cuts) >= 2 && len(msgs) < 40 {
			n := min(int(cuts[0])<<8|int(cuts[1]), len(content))
			msgs = append(msgs, content[:n])
			cuts, content = cuts[2:], content[n:]
		}
		msgs = append(msgs, content)
		for _, h := range hashers(t) {
			agree(t, h, msgs)
		}
	})
}

func BenchmarkHasher(b *testing.B) {
	type input struct {
		name string
		msgs [][]byte
	}
	var inputs []input
	for _, n := range []int{1, 2, 3, 4, 8} {
		in := input{name: fmt.Sprintf("%dx1MiB", n)}
		for i := range n {
			in.msgs = append(in.msgs, content(i, 1<<20))
		}
		inputs = append(inputs, in)
	}
	same, mixed, tiny := input{name: "16x2KiB"}, input{name: "16x100B-8KiB"}, input{name: "16x100B"}
	for i := range 16 {
		same.msgs = append(same.msgs, content(i, 2<<10))
		mixed.msgs = append(mixed.msgs, content(i, 100+i*7%16*530))
		tiny.msgs = append(tiny.msgs, content(i, 100))
	}
	for _, in := range append(inputs, same, mixed, tiny) {
		for _, name := range []string{"serial", "lanes"} {
			h, ok := hashers(b)[name]
			if !ok {
				continue
			}
			b.Run(in.name+"/"+name, func(b *testing.B) {
				ids, size := make([]ID, len(in.msgs)), 0
				for _, m := range in.msgs {
					size += len(m)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					h.Sum(ids, in.msgs)
				}
			})
		}
	}
}
