package limit

// Term is an amount of one primitive, in its unit.
type Term struct {
	Primitive Primitive
	Amount    int64
}

// Formulas returns what the operations consist of: the table in
// docs/benchmarks.md. Operations without a sensible bound are not there, and
// neither are those whose amounts are not known.
//
// Content that is there many times is read, cut and hashed each time, but
// compressed and stored once. Trees are compressed too, which costs less than
// the corpus' own speed says, and is left out: a bound must not be above the truth.
func Formulas(w Work) map[string][]Term {
	derive := Term{Derive, 1}
	table := map[string][]Term{"snapshots": {derive}, "restore1": {derive}}
	if w.Corpus != nil {
		table["backup2"] = []Term{derive, {Stat, w.Corpus.Entries}}
	}
	if w.Corpus != nil && w.First != nil {
		table["backup1"] = append([]Term{derive, {Stat, w.Corpus.Entries}}, backup(*w.Corpus, *w.First)...)
	}
	if w.First != nil {
		for _, op := range []string{"ls", "find", "stats", "prune"} {
			table[op] = append([]Term{derive}, load(w.First.Trees, w.First.StoredTrees)...)
		}
		table["mount"] = append([]Term{derive}, load(w.First.plain(), w.First.bytes())...)
	}
	if w.Corpus != nil && w.First != nil {
		table["restore"] = append([]Term{derive, {Create, w.Corpus.Files}, {Fill, w.Corpus.Content}}, load(w.First.plain(), w.First.bytes())...)
	}
	if w.All != nil {
		table["check"] = append([]Term{derive}, load(w.All.Trees, w.All.StoredTrees)...)
		table["checkdata"] = append([]Term{derive, {Hash, w.All.bytes()}}, load(w.All.plain(), w.All.bytes())...)
		table["copy"] = append(append([]Term{derive}, load(w.All.plain(), w.All.bytes())...), store(w.All.bytes())...)
	}
	if w.Corpus != nil && w.Changed != nil && w.First != nil && w.All != nil {
		table["backup3"] = append([]Term{derive, {Stat, w.Corpus.Entries}}, backup(*w.Changed, w.All.minus(*w.First))...)
	}
	return table
}

// backup reads files and stores what is new.
func backup(f Files, added Stored) []Term {
	terms := []Term{{Open, f.Files}, {Read, f.Content}, {Cut, f.Large}, {Hash, f.Content + added.Trees}, {Compress, added.Data}}
	return append(terms, store(added.bytes())...)
}

// store seals blobs and writes packs, whose names are their hashes.
func store(bytes int64) []Term { return []Term{{Seal, bytes}, {Hash, bytes}, {Write, bytes}} }

// load reads stored bytes and gets verified plaintext out of them.
func load(plain, stored int64) []Term {
	return []Term{{Read, stored}, {Unseal, stored}, {Decompress, plain}, {Hash, plain}}
}
