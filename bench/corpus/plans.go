package corpus

import (
	"fmt"
	"math"
	"os"
	"path"
	"strings"
)

// scaled returns n times the scale, and at least low.
func scaled(n int, scale float64, low int) int {
	return max(low, int(math.Round(float64(n)*scale)))
}

// planSource plans the corpus src. Sizes spread as in trees of programs: most
// files are below 8 KiB, and a few of some 100 KiB hold a good part of all.
func planSource(s Spec) []item {
	voc := newVocabulary(s.Seed)
	langs := languages()
	r := seeded(s.Seed, "src", 0)
	folders := sourceFolders(r, voc, scaled(3200, s.Scale, 3))
	used := make(map[string]bool)
	var items []item
	for i := range scaled(40_000, s.Scale, 12) {
		if len(items) > 0 && r.chance(3) { // somebody copied a file
			it := items[r.below(len(items))]
			if it.link == "" {
				it.name = unused(used, path.Join(r.pick(folders), "vendored_"+path.Base(it.name)))
				items = append(items, it)
				continue
			}
		}
		l := &langs[min(r.below(len(langs)), r.below(len(langs)))]
		size := sourceSize(r)
		switch {
		case r.chance(2):
			size *= 24
		case r.chance(20):
			size *= 5
		}
		stem := r.pick(voc.names)
		if r.chance(15) {
			stem += "_test"
		}
		it := item{name: unused(used, path.Join(r.pick(folders), stem+l.ext)), mode: 0o644, number: i}
		switch n := r.below(200); {
		case n == 0 && len(items) > 0:
			it.link = path.Base(items[len(items)-1].name)
		case n < 8:
			it.mode = 0o755
		case n < 10:
			it.mode = 0o600
		}
		if it.link == "" {
			it.size, it.write = int64(size), sourceFile(s, voc, l)
		}
		items = append(items, it)
	}
	return items
}

func sourceFile(s Spec, voc *vocabulary, l *language) func(f *os.File, it item) error {
	return func(f *os.File, it item) error {
		p := voc.writer(seeded(s.Seed, "source", it.number)).source(nil, l, int(it.size))
		p[it.size-1] = '\n'
		_, err := f.Write(p[:it.size])
		return err
	}
}

// sourceSize returns a size in bytes. The list has those of which a tenth, two
// tenths and so on of all files are below. There is no floating point in it:
// processors differ in how they round.
func sourceSize(r *random) int {
	tenths := [...]int{40, 360, 640, 960, 1370, 1900, 2640, 3760, 5670, 10050, 38000}
	i := r.below(len(tenths) - 1)
	return r.between(tenths[i], tenths[i+1])
}

// sourceFolders returns n folders, nested as projects do.
func sourceFolders(r *random, voc *vocabulary, n int) []string {
	used := make(map[string]bool)
	list := []string{"docs", "src", "lib"}
	for len(list) < n {
		parent := list[r.few(len(list))]
		if strings.Count(parent, "/") > 7 {
			continue
		}
		list = append(list, unused(used, path.Join(parent, r.pick(voc.words))))
	}
	return list
}

// unused returns the name, with a number if it was used before, and marks it.
// A file system may not tell upper from lower case.
func unused(used map[string]bool, name string) string {
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for i := 2; used[strings.ToLower(name)]; i++ {
		name = fmt.Sprintf("%s%d%s", stem, i, ext)
	}
	used[strings.ToLower(name)] = true
	return name
}

func planTiny(s Spec) []item {
	voc := newVocabulary(s.Seed)
	r := seeded(s.Seed, "tiny", 0)
	var items []item
	files, folders := scaled(200_000, s.Scale, 20), scaled(5_000, s.Scale, 2)
	for i := range files {
		folder := i * folders / files
		it := item{name: fmt.Sprintf("d%02d/d%04d/f%06d.dat", folder/100, folder, i), size: int64(r.between(0, 4096)), mode: 0o644, number: i}
		if r.chance(50) {
			it.write = proseFile(s, voc)
		}
		items = append(items, it)
	}
	return items
}

// proseFile returns a writer of words, of the item's size.
func proseFile(s Spec, voc *vocabulary) func(f *os.File, it item) error {
	return func(f *os.File, it item) error {
		w := voc.writer(seeded(s.Seed, "prose", it.number))
		var p []byte
		for int64(len(p)) < it.size {
			p = append(w.prose(p, w.between(6, 14)), '.', '\n')
		}
		_, err := f.Write(p[:it.size])
		return err
	}
}

func planMail(s Spec) []item {
	voc := newVocabulary(s.Seed)
	r := seeded(s.Seed, "mail", 0)
	var items []item
	files, folders := scaled(1_000_000, s.Scale, 20), scaled(4_000, s.Scale, 2)
	for i := range files {
		folder := i * folders / files
		items = append(items, item{name: fmt.Sprintf("user%03d/list%05d/cur/%d.M%06d.post,S", folder/40, folder, 1_600_000_000+i*97, r.below(1_000_000)),
			size: int64(r.between(300, 3000)), mode: 0o600, number: i, write: mailFile(s, voc)})
	}
	return items
}

func mailFile(s Spec, voc *vocabulary) func(f *os.File, it item) error {
	prose := proseFile(s, voc)
	return func(f *os.File, it item) error {
		head := fmt.Sprintf("Message-ID: <%016x@example.org>\r\nSubject: %s\r\n\r\n",
			seeded(s.Seed, "message", it.number).pcg.Uint64(), voc.words[it.number%len(voc.words)])
		if _, err := f.WriteString(head); err != nil {
			return err
		}
		it.size -= int64(len(head))
		return prose(f, it)
	}
}

const mebibyte = 1 << 20

func planBig(s Spec) []item {
	voc := newVocabulary(s.Seed)
	size := int64(scaled(512*mebibyte, s.Scale, 64<<10))
	var items []item
	for i := range 4 {
		items = append(items, item{name: fmt.Sprintf("noise%d.bin", i), size: size, mode: 0o644, number: i})
	}
	for i := range 2 {
		items = append(items,
			item{name: fmt.Sprintf("logs/server%d.log", i), size: size, mode: 0o640, number: 10 + i, write: linesFile(s, voc, (*writer).log)},
			item{name: fmt.Sprintf("dumps/base%d.sql", i), size: size, mode: 0o640, number: 20 + i, write: linesFile(s, voc, (*writer).sql)})
	}
	return items
}

// linesFile returns a writer of lines that lines makes, in blocks of a
// mebibyte; each has a vocabulary of its own.
func linesFile(s Spec, voc *vocabulary, lines func(w *writer, p []byte, size int, state *int64) []byte) func(f *os.File, it item) error {
	return func(f *os.File, it item) error {
		state := int64(1_600_000_000_000)
		var p []byte
		for block := 0; it.size > 0; block++ {
			n := min(it.size, mebibyte)
			p = lines(voc.writer(seeded(s.Seed, "lines", it.number<<20+block)), p[:0], int(n), &state)
			if _, err := f.Write(p); err != nil {
				return err
			}
			it.size -= n
		}
		return nil
	}
}

func planImage(s Spec) []item {
	voc := newVocabulary(s.Seed)
	size := int64(scaled(4<<30, s.Scale, 1<<20)) &^ 4095
	return []item{{name: "images/disk.img", size: size, mode: 0o600, write: func(f *os.File, it item) error {
		return writeImage(f, s, voc, it.size)
	}}}
}

// writeImage writes extents of 4 KiB to 4 MiB: two fifths holes, and a fifth
// each of copies of earlier parts, of text and of noise.
func writeImage(f *os.File, s Spec, voc *vocabulary, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	r := seeded(s.Seed, "image", 0)
	clock := int64(1_600_000_000_000)
	buf := make([]byte, 4*mebibyte)
	for at := int64(0); at < size; {
		n := min(int64(4096)<<r.below(11), size-at)
		p := buf[:n]
		switch r.below(5) {
		case 0, 1:
			at += n
			continue
		case 2:
			from := int64(0)
			if at > n {
				from = int64(r.below(int((at-n)/4096+1))) * 4096
			}
			if _, err := f.ReadAt(p[:min(n, at-from)], from); err != nil {
				return err
			}
		case 3:
			p = voc.writer(seeded(s.Seed, "extent", int(at>>12))).log(p[:0], int(n), &clock)
		case 4:
			r.fill(p)
		}
		if _, err := f.WriteAt(p, at); err != nil {
			return err
		}
		at += n
	}
	return nil
}
