package index

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
)

// The form of the document for encoding/json.
type (
	jsonBlob struct {
		ID                 crypto.ID `json:"id"`
		Type               string    `json:"type"`
		Offset             uint32    `json:"offset"`
		Length             uint32    `json:"length"`
		UncompressedLength uint32    `json:"uncompressed_length,omitempty"`
	}
	jsonPack struct {
		ID    crypto.ID  `json:"id"`
		Blobs []jsonBlob `json:"blobs"`
	}
	jsonFile struct {
		Supersedes []crypto.ID `json:"supersedes,omitempty"`
		Packs      []jsonPack  `json:"packs"`
	}
)

type decodedPack struct {
	id    crypto.ID
	blobs []Blob
}

func decodeAll(data []byte) (packs []decodedPack, err error) {
	err = Decode(data, func(id crypto.ID, blobs []Blob) error {
		packs = append(packs, decodedPack{id, slices.Clone(blobs)})
		return nil
	})
	return packs, err
}

func encode(packs []decodedPack) []byte {
	c := NewCollector(time.Now)
	for _, p := range packs {
		c.Add(p.id, p.blobs)
	}
	return c.Take(true)
}

func TestEncodeWritesWhatEncodingJSONWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var packs []decodedPack
		var doc jsonFile
		for range rapid.IntRange(1, 10).Draw(t, "packs") {
			id, blobs := drawPack(t)
			packs = append(packs, decodedPack{id, blobs})
			p := jsonPack{ID: id}
			for _, b := range blobs {
				p.Blobs = append(p.Blobs, jsonBlob{b.ID, b.Type.String(), b.Offset, b.Length, b.UncompressedLength})
			}
			doc.Packs = append(doc.Packs, p)
		}
		got := encode(packs)
		want, _ := json.Marshal(doc)
		if want = append(want, '\n'); !bytes.Equal(got, want) {
			t.Fatalf("\n%s\nwant\n%s", got, want)
		}
		again, err := decodeAll(got)
		if err != nil || len(again) != len(packs) {
			t.Fatal(err)
		}
		for i := range packs {
			if again[i].id != packs[i].id || !slices.Equal(again[i].blobs, packs[i].blobs) {
				t.Fatalf("pack %d changed", i)
			}
		}
	})
}

const (
	idA = "22aea7842f852705288d16bf124459c84f9f85237c88a22e46b46dac1353027c"
	idB = "fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f"
)

func TestDecodeIsTolerant(t *testing.T) {
	blob := `{"id":"` + idB + `","type":"tree","offset":5,"length":54,"uncompressed_length":13}`
	want := []decodedPack{{mustID(idA), []Blob{{BlobHandle{TreeBlob, mustID(idB)}, 5, 54, 13}}}}
	for name, doc := range map[string]string{
		"as written":      `{"packs":[{"id":"` + idA + `","blobs":[` + blob + `]}]}` + "\n",
		"white space":     " { \"packs\" :\t[ {\n\"id\" : \"" + idA + "\" , \"blobs\" : [ " + strings.ReplaceAll(blob, ",", " ,\n") + " ] } ] } ",
		"other order":     `{"packs":[{"blobs":[{"uncompressed_length":13,"length":54,"offset":5,"type":"tree","id":"` + idB + `"}],"id":"` + idA + `"}]}`,
		"supersedes":      `{"supersedes":["` + idB + `"],"packs":[{"id":"` + idA + `","blobs":[` + blob + `]}]}`,
		"unknown members": `{"x":{"y":[1,-2.5e3,"\u00e4\"",null,true,false,{}]},"packs":[{"z":[],"id":"` + idA + `","blobs":[` + blob[:len(blob)-1] + `,"w":"\n"}]}],"v":[[]]}`,
		"escapes":         strings.ReplaceAll(`{"\u0070acks":[{"id":"`+idA+`","blobs":[`+blob+`]}]}`, `"tree"`, `"tr\u0065e"`),
	} {
		got, err := decodeAll([]byte(doc))
		if err != nil || len(got) != 1 || got[0].id != want[0].id || !slices.Equal(got[0].blobs, want[0].blobs) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, doc := range map[string]string{"no packs": `{}`, "null": `{"packs":null}`, "empty": `{"packs":[]}`} {
		if got, err := decodeAll([]byte(doc)); err != nil || len(got) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	blob := func(members string) string {
		return `{"packs":[{"id":"` + idA + `","blobs":[{"id":"` + idB + `",` + members + `}]}]}`
	}
	for name, doc := range map[string]string{
		"nothing":            ``,
		"cut":                `{"packs":[`,
		"old array":          `[{"id":"` + idA + `","blobs":[]}]`,
		"packs twice":        `{"packs":[],"packs":[]}`,
		"blobs twice":        `{"packs":[{"id":"` + idA + `","blobs":[],"blobs":[]}]}`,
		"pack ID twice":      `{"packs":[{"id":"` + idA + `","id":"` + idA + `"}]}`,
		"offset twice":       blob(`"type":"data","offset":0,"length":54,"offset":0`),
		"null offset":        blob(`"type":"data","offset":null,"length":54`),
		"null pack":          `{"packs":[null]}`,
		"upper-case ID":      `{"packs":[{"id":"` + strings.ToUpper(idA) + `","blobs":[]}]}`,
		"no pack ID":         `{"packs":[{"blobs":[]}]}`,
		"null pack ID":       `{"packs":[{"id":null,"blobs":[]}]}`,
		"zero pack ID":       `{"packs":[{"id":"` + strings.Repeat("0", 64) + `","blobs":[]}]}`,
		"short ID":           `{"packs":[{"id":"22ae","blobs":[]}]}`,
		"blob type":          blob(`"type":"file","offset":0,"length":54`),
		"type of a number":   blob(`"type":1,"offset":0,"length":54`),
		"no offset":          blob(`"type":"data","length":54`),
		"no length":          blob(`"type":"data","offset":0`),
		"tiny length":        blob(`"type":"data","offset":0,"length":31`),
		"large offset":       blob(`"type":"data","offset":4294967296,"length":54`),
		"huge offset":        blob(`"type":"data","offset":99999999999999999999999999,"length":54`),
		"negative offset":    blob(`"type":"data","offset":-1,"length":54`),
		"fraction":           blob(`"type":"data","offset":1.5,"length":54`),
		"exponent":           blob(`"type":"data","offset":1e2,"length":54`),
		"leading zero":       blob(`"type":"data","offset":01,"length":54`),
		"number as a string": blob(`"type":"data","offset":"1","length":54`),
		"trailing comma":     `{"packs":[],}`,
		"rest":               `{"packs":[]} {}`,
		"deep":               `{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
		"bad escape":         `{"\x":1}`,
		"open string":        `{"packs`,
		"open escape":        `{"packs\`,
		"control character":  "{\"a\nb\":1}",
	} {
		_, err := decodeAll([]byte(doc))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := decodeAll([]byte(blob(`"type":"file","offset":0,"length":54`)))
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || string(blob(`"type":"file","offset":0,"length":54`)[syntax.Offset-6:syntax.Offset]) != `"file"` {
		t.Errorf("the place of a bad type: %v", err)
	}
	stop := errors.New("stop")
	err = Decode([]byte(`{"packs":[{"id":"`+idA+`","blobs":[]}]}`), func(crypto.ID, []Blob) error { return stop })
	if err != stop {
		t.Errorf("the callback's error comes back as %v", err)
	}
}

func mustID(s string) crypto.ID {
	id, err := crypto.ParseID(s)
	if err != nil {
		panic(err)
	}
	return id
}

func TestCollectorKeepsTheLimits(t *testing.T) {
	now := time.Unix(0, 0)
	c := NewCollector(func() time.Time { return now })
	if c.Take(true) != nil {
		t.Error("an empty file")
	}
	blobs := manyBlobs(0, 10_000)
	for i := range 4 {
		c.Add(crypto.ID{byte(i + 1)}, blobs)
		if c.Take(false) != nil {
			t.Fatalf("a file after %d packs", i+1)
		}
	}
	c.Add(crypto.ID{9}, blobs)
	packs, err := decodeAll(c.Take(false))
	if err != nil || len(packs) != 5 {
		t.Fatalf("%d packs, %v", len(packs), err)
	}
	c.Add(crypto.ID{1}, blobs[:1])
	now = now.Add(MaxAge - 1)
	if c.Take(false) != nil {
		t.Error("a file too early")
	}
	now = now.Add(1)
	if packs, err := decodeAll(c.Take(false)); err != nil || len(packs) != 1 {
		t.Errorf("after ten minutes: %d packs, %v", len(packs), err)
	}
	if c.Take(true) != nil {
		t.Error("a pack was taken twice")
	}
}

// FuzzDecode compares with encoding/json: what Decode accepts means the same
// there.
func FuzzDecode(f *testing.F) {
	f.Add(encode([]decodedPack{{mustID(idA), manyBlobs(0, 2)}}))
	f.Add([]byte(`{"supersedes":["` + idB + `"],"packs":[{"id":"` + idA + `","x":[1.5,{}],"blobs":null}]}`))
	f.Add([]byte(`{"packs":[{"id":"` + idA + `","blobs":[{"id":"` + idB + `","type":"data","offset":4294967295,"length":1234567890,"uncompressed_length":0}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		packs, err := decodeAll(data)
		// With white space a blob goes the general way.
		general, generalErr := decodeAll(bytes.ReplaceAll(data, []byte(usualID), []byte(`{ "id":"`)))
		if (err == nil) != (generalErr == nil) || fmt.Sprint(packs) != fmt.Sprint(general) {
			t.Fatalf("%v, %v; with white space %v, %v", packs, err, general, generalErr)
		}
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted invalid JSON %q", data)
		}
		again, err := decodeAll(encode(packs))
		if len(packs) > 0 && (err != nil || fmt.Sprint(again) != fmt.Sprint(packs)) {
			t.Fatalf("does not read back: %v", err)
		}
	})
}

func TestParseHexTakesWhatParseIDTakes(t *testing.T) {
	for at := range 2 * crypto.IDSize {
		digits := []byte(idA)
		for c := range 256 {
			digits[at] = byte(c)
			want, err := crypto.ParseHex(digits)
			var got crypto.ID
			if ok := parseHex(&got, digits); ok != (err == nil) || ok && got != want {
				t.Fatalf("byte %d is %#x: %v, %v, want %v, %v", at, c, got, ok, want, err)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	var packs []decodedPack
	for i := range 100 {
		packs = append(packs, decodedPack{crypto.Hash([]byte{byte(i)}), manyBlobs(i*500, 500)})
	}
	doc := encode(packs)
	b.Run("garner", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		for b.Loop() {
			if err := Decode(doc, func(crypto.ID, []Blob) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			var f jsonFile
			if err := json.Unmarshal(doc, &f); err != nil {
				b.Fatal(err)
			}
		}
	})
}
