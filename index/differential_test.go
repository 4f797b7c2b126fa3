package index

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/garner-backup/garner/crypto"
)

// reference decodes an index file with encoding/json, by the rules of Decode.
// It can't see repeated members.
func reference(data []byte) (packs []decodedPack, err error) {
	file, err := members(data)
	if err != nil {
		return nil, err
	}
	list, err := elements(file["packs"])
	for _, raw := range list {
		p, err := referencePack(raw)
		if err != nil {
			return nil, err
		}
		packs = append(packs, p)
	}
	return packs, err
}

func referencePack(raw json.RawMessage) (p decodedPack, err error) {
	m, err := members(raw)
	if err != nil {
		return p, err
	}
	if err := value(m["id"], &p.id); err != nil {
		return p, err
	}
	if p.id.IsZero() {
		return p, errors.New("zero ID")
	}
	list, err := elements(m["blobs"])
	for _, raw := range list {
		m, err := members(raw)
		if err != nil {
			return p, err
		}
		var b Blob
		var typ string
		err = errors.Join(value(m["id"], &b.ID), value(m["type"], &typ), value(m["offset"], &b.Offset), value(m["length"], &b.Length))
		if raw, ok := m["uncompressed_length"]; ok {
			err = errors.Join(err, value(raw, &b.UncompressedLength))
		}
		if b.Type, _ = ParseBlobType(typ); err != nil || b.Type.String() != typ || b.Length < crypto.Overhead {
			return p, fmt.Errorf("blob %s: %w", raw, err)
		}
		p.blobs = append(p.blobs, b)
	}
	return p, err
}

func members(raw json.RawMessage) (m map[string]json.RawMessage, err error) {
	if err = json.Unmarshal(raw, &m); err == nil && m == nil {
		err = errors.New("null")
	}
	return m, err
}

// elements returns none for null and for a member that is missing.
func elements(raw json.RawMessage) (list []json.RawMessage, err error) {
	if raw == nil {
		return nil, nil
	}
	return list, json.Unmarshal(raw, &list)
}

func value(raw json.RawMessage, v any) error {
	if raw == nil || string(raw) == "null" {
		return errors.New("no value")
	}
	return json.Unmarshal(raw, v)
}

// document draws an index file with members in any order, members that are
// not known, and white space.
type document struct{ *rapid.T }

func (d document) object(known ...string) string {
	if rapid.IntRange(0, 3).Draw(d.T, "unknown") == 0 {
		known = append(known, rapid.SampledFrom([]string{
			`"zzzzzzzz":{"packs":[null,-1.5e+3,"\u00e4\"\\"]}`, `"supersedes":["` + idB + `"]`, `"\"]}\u0041yyyyyy":true`, `"xxxxxxxxx":[[],{}]`,
		}).Draw(d.T, "member"))
	}
	return "{" + d.join(rapid.Permutation(known).Draw(d.T, "order")) + "}"
}

func (d document) join(parts []string) string {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n"}).Draw(d.T, "space")
	return space + strings.Join(parts, space+","+space) + space
}

func (d document) number(label string) string {
	n := rapid.SampledFrom([]string{"0", "31", "32", "77", "4294967295"}).Draw(d.T, label)
	if rapid.IntRange(0, 60).Draw(d.T, "odd") == 0 {
		n = rapid.SampledFrom([]string{"4294967296", "-1", "-0", "1.0", "1e1", "007", `"7"`, "null", "99999999999999999999"}).Draw(d.T, "odd number")
	}
	return n
}

func (d document) blob() string {
	m := []string{
		`"id":"` + drawID(d.T, "blob").String() + `"`,
		rapid.SampledFrom([]string{`"type":"data"`, `"type":"tree"`, `"type":"tr\u0065e"`}).Draw(d.T, "type"),
		`"offset":` + d.number("offset"),
		`"length":` + d.number("length"),
	}
	if rapid.Bool().Draw(d.T, "compressed") {
		m = append(m, `"uncompressed_length":`+d.number("uncompressed"))
	}
	return d.object(m...)
}

func (d document) file() string {
	packs := make([]string, rapid.IntRange(0, 3).Draw(d.T, "packs"))
	for i := range packs {
		blobs := make([]string, rapid.IntRange(0, 3).Draw(d.T, "blobs"))
		for j := range blobs {
			blobs[j] = d.blob()
		}
		packs[i] = d.object(`"id":"`+drawID(d.T, "pack").String()+`"`, `"blobs":[`+d.join(blobs)+`]`)
	}
	return d.object(`"packs":[`+d.join(packs)+`]`) + "\n"
}

// mutate changes a byte or cuts some out.
func (d document) mutate(doc string) string {
	if doc == "" {
		return doc
	}
	from := rapid.IntRange(0, len(doc)-1).Draw(d.T, "from")
	if rapid.Bool().Draw(d.T, "cut") {
		return doc[:from] + doc[min(len(doc), from+rapid.IntRange(1, 80).Draw(d.T, "length of the cut")):]
	}
	return doc[:from] + rapid.StringOfN(rapid.RuneFrom([]rune("{}[]\",:\\0129-.ean \x00\x1f\u00e4")), 1, 1, -1).Draw(d.T, "byte") + doc[from+1:]
}

func TestDecodeAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := document{t}
		doc := d.file()
		for range rapid.IntRange(0, 2).Draw(t, "mutations") {
			doc = d.mutate(doc)
		}
		got, err := decodeAll([]byte(doc))
		want, refErr := reference([]byte(doc))
		if err != nil && strings.HasSuffix(err.Error(), ": repeated member") {
			return // a cut may join the start of one object and the end of another
		}
		if (err == nil) != (refErr == nil) || err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s\n%v (%v)\nencoding/json: %v (%v)", doc, got, err, want, refErr)
		}
	})
}
