package corpus

import (
	"strconv"
	"strings"
)

// vocabulary is what the files of one corpus are written with.
type vocabulary struct {
	words []string // as in comments and prose
	names []string // of functions and variables
}

func newVocabulary(seed uint64) *vocabulary {
	r := seeded(seed, "vocabulary", 0)
	syllables := strings.Fields(`ab ac ad al am an ar as at ba be bi bo ca ce ch co cu da de di do en er es et ex
		fa fe fi fo ga ge gi gr ha he hi ho id il im in is it ka ke ki la le li lo ma me mi mo na ne ni no ob of
		on op or os ou pa pe pi po pr qu ra re ri ro sa se sh si so st ta te th ti to tr ul um un ur us va ve vi
		wa we wi yo ze`)
	v := new(vocabulary)
	for range 6000 {
		w := ""
		for range r.between(1, 4) {
			w += r.pick(syllables)
		}
		v.words = append(v.words, w)
	}
	for range 12000 {
		a, b := r.pick(v.words), r.pick(v.words)
		switch r.below(4) {
		case 0:
			v.names = append(v.names, a)
		case 1:
			v.names = append(v.names, a+"_"+b)
		default:
			v.names = append(v.names, a+strings.ToUpper(b[:1])+b[1:])
		}
	}
	return v
}

// language is how the lines of a kind of source file look: in a template, N is
// a name, M another, W a word, S three to nine words, D a number.
type language struct {
	ext     string
	indent  string
	comment string
	head    []string
	body    []string
	tail    []string
}

func languages() []language {
	return []language{
		{".go", "\t", "// ", []string{"func N(M string, N int) error {", "func (N *M) N(ctx context.Context) (int, error) {", "type N struct {"},
			[]string{"N := M(N, D)", "if err := N.M(); err != nil {", "return fmt.Errorf(\"S: %w\", err)", "for i, M := range N {",
				"N = append(N, M)", "N[M] = D", "defer N.M()", "return nil", "}", "switch N.M {", "case N, M:", "N.M(N, \"W\")", "if N == nil || M > D {"}, []string{"}"}},
		{".c", "    ", "/* S */ ", []string{"static int N(struct M *N, size_t M)\n{", "void N(const char *M, int N)\n{"},
			[]string{"N = M(N, D);", "if (N == NULL)", "return -EINVAL;", "memcpy(N, M, sizeof(*N));", "for (i = 0; i < N; i++) {", "}",
				"N->M = D;", "printf(\"S\\n\", N);", "int N = M->N;", "goto N;", "N->M |= 0xD;"}, []string{"    return 0;", "}"}},
		{".py", "    ", "# ", []string{"def N(self, M, N=None):", "class N(M):", "def N(M):"},
			[]string{"self.N = M", "if N is None:", "return self.M(N)", "for M in N:", "N = M.N(D, \"W\")", "raise ValueError(\"S\")",
				"try:", "except KeyError as N:", "N.append(M)", "with N(M) as W:", "logger.info(\"S\", N)"}, []string{""}},
		{".js", "  ", "// ", []string{"export function N(M, N) {", "const N = async (M) => {"},
			[]string{"const N = await M(N);", "if (!N || M.length > D) {", "return { N, M: D };", "}", "N.forEach((M) => {", "});",
				"let N = M[D];", "throw new Error('S');", "this.N = M;", "console.log('W', N);"}, []string{"}"}},
		{".md", "", "", []string{"## W N", "### S"},
			[]string{"S, S. S.", "- `N` S", "S S, S S.", "See [S](W/N.html) S.", "1. S"}, []string{""}},
		{".json", "  ", "", []string{"{"},
			[]string{"\"N\": \"W\",", "\"N\": D,", "\"N\": [\"W\", \"M\", D],", "\"N\": true,", "\"W\": { \"N\": \"S\" },"}, []string{"  \"end\": null", "}"}},
	}
}

// writer makes the text of one file. Its vocabulary is a small part of the
// corpus's, as the parts of a program are about few things.
type writer struct {
	*random
	names, words []string
}

func (v *vocabulary) writer(r *random) *writer {
	w := &writer{random: r}
	for range r.between(24, 160) {
		w.names = append(w.names, v.names[r.few(len(v.names))])
	}
	for range r.between(80, 500) {
		w.words = append(w.words, v.words[r.few(len(v.words))])
	}
	return w
}

// line appends a template with its letters replaced.
func (w *writer) line(p []byte, template string) []byte {
	for i := range len(template) {
		c := template[i]
		alone := (i == 0 || !isLetter(template[i-1])) && (i+1 == len(template) || !isLetter(template[i+1]))
		switch {
		case !alone:
			p = append(p, c)
		case c == 'N' || c == 'M':
			p = append(p, w.names[w.few(len(w.names))]...)
		case c == 'W':
			p = append(p, w.words[w.few(len(w.words))]...)
		case c == 'S':
			p = w.prose(p, w.between(3, 9))
		case c == 'D':
			p = strconv.AppendInt(p, int64(w.few(5000)), 10)
		default:
			p = append(p, c)
		}
	}
	return p
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// prose appends n words.
func (w *writer) prose(p []byte, n int) []byte {
	for i := range n {
		if i > 0 {
			p = append(p, ' ')
		}
		p = append(p, w.words[w.few(len(w.words))]...)
	}
	return p
}

// source appends a file of about size bytes in the language.
func (w *writer) source(p []byte, l *language, size int) []byte {
	for end := len(p) + size; len(p) < end; {
		if l.comment != "" && w.chance(60) {
			p = append(w.prose(w.line(p, l.comment), w.between(6, 14)), '\n')
		}
		p = append(w.line(p, w.pick(l.head)), '\n')
		depth := 1
		for range w.between(3, 24) {
			t := w.pick(l.body)
			if t[0] == '}' && depth > 1 {
				depth--
			}
			for range depth {
				p = append(p, l.indent...)
			}
			p = append(w.line(p, t), '\n')
			if last := t[len(t)-1]; (last == '{' || last == ':') && depth < 5 {
				depth++
			}
		}
		for _, t := range l.tail {
			p = append(p, t...)
			p = append(p, '\n')
		}
		p = append(p, '\n')
	}
	return p
}

// log appends lines of a server's log, with the time going on from *clock in
// milliseconds, until p has grown by size bytes.
func (w *writer) log(p []byte, size int, clock *int64) []byte {
	levels := []string{"INFO", "INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"}
	end := len(p) + size
	for len(p) < end {
		*clock += int64(w.few(900))
		p = append(p, "ts="...)
		p = strconv.AppendInt(p, *clock, 10)
		p = append(p, " level="...)
		p = append(p, w.pick(levels)...)
		p = append(p, " unit="...)
		p = append(p, w.names[w.few(len(w.names))]...)
		p = append(p, " client=10."...)
		p = strconv.AppendInt(p, int64(w.below(4)), 10)
		p = append(p, '.')
		p = strconv.AppendInt(p, int64(w.few(256)), 10)
		p = append(p, '.')
		p = strconv.AppendInt(p, int64(w.below(256)), 10)
		p = append(p, " took="...)
		p = strconv.AppendInt(p, int64(w.few(30000)), 10)
		p = append(p, "us id="...)
		p = strconv.AppendUint(p, w.pcg.Uint64()>>16, 16)
		p = append(p, ` msg="`...)
		p = w.prose(p, w.between(3, 10))
		p = append(p, '"', '\n')
	}
	return p[:end]
}

// sql appends lines of a database dump until p has grown by size bytes; *row
// numbers them.
func (w *writer) sql(p []byte, size int, row *int64) []byte {
	end := len(p) + size
	for len(p) < end {
		if *row%200 == 0 {
			p = append(p, "INSERT INTO `"...)
			p = append(p, w.names[w.few(len(w.names))]...)
			p = append(p, "` VALUES\n"...)
		}
		*row++
		p = append(p, '(')
		p = strconv.AppendInt(p, *row, 10)
		p = append(p, ",'"...)
		p = w.prose(p, 2)
		p = append(p, "','"...)
		p = append(p, w.names[w.few(len(w.names))]...)
		p = append(p, "@example.org',"...)
		p = strconv.AppendInt(p, int64(w.below(1_000_000)), 10)
		p = append(p, ",NULL,'"...)
		p = w.prose(p, w.between(4, 16))
		p = append(p, "'),\n"...)
	}
	return p[:end]
}
