package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

const mebibyte = 1 << 20

// WriteMarkdown writes the report as a document. plots maps groups to the
// names of images that go with them.
func (r *Report) WriteMarkdown(w io.Writer, plots map[string]string) error {
	d := &document{r: r}
	d.head()
	for _, g := range r.groups() {
		d.group(g, plots[g])
	}
	d.commands()
	_, err := io.WriteString(w, d.String())
	return err
}

// document is Markdown under way.
type document struct {
	strings.Builder
	r *Report
}

func (d *document) printf(format string, args ...any) { fmt.Fprintf(d, format, args...) }

func (d *document) head() {
	r := d.r
	d.printf("# Benchmarks\n\nMeasured %s with this command, %s of everything:\n\n```sh\n%s\n```\n\n",
		r.Time.UTC().Format("2006-01-02 15:04 MST"), plural(r.Runs, "run"), strings.Join(r.Command, " "))
	m := r.Machine
	d.printf("| machine | |\n| --- | --- |\n")
	for _, row := range [][2]string{
		{"system", strings.TrimSpace(m.OS + " " + m.Kernel + " on " + m.Arch)},
		{"processor", m.CPU},
		{"its abilities", strings.Join(m.Flags, " ")},
		{"cores", fmt.Sprint(m.Cores)},
		{"memory", unlessZero(m.Memory, func() string { return fmt.Sprintf("%.1f GiB", float64(m.Memory)/(1<<30)) })},
		{"file system", m.FileSystem},
		{"load before", m.Load},
	} {
		if row[1] != "" {
			d.printf("| %s | %s |\n", row[0], cell(row[1]))
		}
	}
	d.printf("\n| peer | version | program |\n| --- | --- | --- |\n")
	for _, p := range r.Peers {
		d.printf("| %s | %s | `%s` |\n", cell(p.Name), cell(p.Version), cell(p.Path))
	}
	d.printf("\nThe programs took turns, operation by operation. Times are medians, with the smallest and the largest in brackets.\n")
	if len(r.Peers) > 1 {
		d.printf("Ratios are to %s; below 1 is less. `~` marks a ratio that chance explains as well (Mann-Whitney test, %g), or that too few runs stand behind.\n",
			r.Peers[0].Name, significance)
	}
	if len(r.Notes) > 0 {
		d.printf("\nLeft out:\n\n")
		for _, n := range r.Notes {
			d.printf("- %s\n", n)
		}
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func unlessZero(n int64, text func() string) string {
	if n == 0 {
		return ""
	}
	return text()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// column is a column of the tables. A cell is empty if there is nothing to say.
type column struct {
	head string
	cell func(l, first *Line) string
}

func (d *document) columns() []column {
	return []column{
		{"n", func(l, _ *Line) string { return fmt.Sprint(len(l.Samples)) }},
		{"wall s", func(l, _ *Line) string {
			s := spread(l.Samples, wall)
			return fmt.Sprintf("%s (%s..%s)", seconds(s.Median), seconds(s.Min), seconds(s.Max))
		}},
		{"ratio", func(l, first *Line) string { return ratio(l, first, wall) }},
		{"limit s", func(l, _ *Line) string {
			limit, ok := d.r.limit(l)
			if !ok {
				return ""
			}
			return seconds(limit)
		}},
		{"x limit", func(l, _ *Line) string {
			limit, ok := d.r.limit(l)
			if !ok || d.r.kind(l.Peer) != "garner" {
				return ""
			}
			return fmt.Sprintf("%.2f", spread(l.Samples, wall).Median/limit)
		}},
		{"CPU s", func(l, _ *Line) string { return seconds(spread(l.Samples, cpu).Median) }},
		{"ratio", func(l, first *Line) string { return ratio(l, first, cpu) }},
		{"peak MiB", func(l, _ *Line) string { return mebibytes(spread(l.Samples, rss).Median, 0) }},
		{"ratio", func(l, first *Line) string { return ratio(l, first, rss) }},
		{"MiB/s", func(l, _ *Line) string {
			if l.Bytes == 0 {
				return ""
			}
			return fmt.Sprintf("%.0f", float64(l.Bytes)/mebibyte/spread(l.Samples, wall).Median)
		}},
		{"repository MiB", func(l, _ *Line) string { return mebibytes(spread(l.Samples, repository).Median, 1) }},
		{"system calls", func(l, _ *Line) string {
			return unlessZero(l.Syscalls, func() string { return fmt.Sprint(l.Syscalls) })
		}},
	}
}

func seconds(s float64) string {
	if s < 10 {
		return fmt.Sprintf("%.3f", s)
	}
	return fmt.Sprintf("%.1f", s)
}

func mebibytes(n float64, digits int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.*f", digits, n/mebibyte)
}

// ratio shows the ratio of two medians, if both are known and it is not the
// first peer's own.
func ratio(l, first *Line, value func(Sample) float64) string {
	if first == nil {
		return ""
	}
	a, b := spread(first.Samples, value).Median, spread(l.Samples, value).Median
	if a == 0 || b == 0 {
		return ""
	}
	if l == first {
		return "1"
	}
	mark := ""
	if v := judge(values(first.Samples, value), values(l.Samples, value)); v == Unchanged || v == TooFew {
		mark = "~"
	}
	return fmt.Sprintf("%s%.2f", mark, b/a)
}

// group writes the section of a group: its plot and its table.
func (d *document) group(group, plot string) {
	r := d.r
	d.printf("\n## %s\n\n", group)
	for _, c := range r.Corpora {
		if c.Name == group {
			d.printf("%s. Here: %s, %.1f MiB (scale %g, seed %d).\n\n", c.About, plural(c.Files, "file"), float64(c.Bytes)/mebibyte, c.Scale, c.Seed)
		}
	}
	if plot != "" {
		d.printf("![wall time on %s, as a ratio to %s](%s)\n\n", group, r.Peers[0].Name, plot)
	}
	rows, used := d.rows(group)
	cols := d.columns()
	d.printf("| operation | peer |")
	for i, c := range cols {
		if used[i] {
			d.printf(" %s |", c.head)
		}
	}
	d.printf("\n| --- | --- |%s\n", strings.Repeat(" --: |", count(used)))
	for _, row := range rows {
		d.printf("|")
		for i, text := range row {
			if i < 2 || used[i-2] {
				d.printf(" %s |", text)
			}
		}
		d.printf("\n")
	}
	d.primitives(group)
}

// rows returns the cells of a group's table, and which of the columns have
// something in them.
func (d *document) rows(group string) ([][]string, []bool) {
	cols := d.columns()
	used := make([]bool, len(cols))
	var rows [][]string
	for _, op := range d.r.operations(group) {
		first := d.r.line(group, op, d.r.Peers[0].Name)
		for _, p := range d.r.Peers {
			l := d.r.line(group, op, p.Name)
			if l == nil {
				continue
			}
			row := []string{op, cell(p.Name)}
			for i, c := range cols {
				text := c.cell(l, first)
				used[i] = used[i] || text != ""
				row = append(row, text)
			}
			rows = append(rows, row)
		}
	}
	return rows, used
}

func count(used []bool) int {
	n := 0
	for _, u := range used {
		if u {
			n++
		}
	}
	return n
}

// line returns a line, or nil.
func (r *Report) line(group, operation, peer string) *Line {
	if i := r.find(group, operation, peer); i >= 0 {
		return &r.Lines[i]
	}
	return nil
}

// commands lists what was run.
func (d *document) commands() {
	d.printf("\n## Command lines\n\nThose of the first run; folders are those of that run.\n")
	lines := slices.Clone(d.r.Lines)
	order := d.r.groups()
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Group), slices.Index(order, b.Group)), cmp.Compare(d.peer(a.Peer), d.peer(b.Peer)))
	})
	for i, l := range lines {
		if i == 0 || lines[i-1].Group != l.Group || lines[i-1].Peer != l.Peer {
			if i > 0 {
				d.printf("```\n")
			}
			d.printf("\n%s, %s:\n\n```sh\n", l.Group, l.Peer)
		}
		for _, c := range l.Commands {
			d.printf("%s  # %s\n", c, l.Operation)
		}
	}
	if len(lines) > 0 {
		d.printf("```\n")
	}
}

func (d *document) peer(name string) int {
	return slices.IndexFunc(d.r.Peers, func(p Peer) bool { return p.Name == name })
}
