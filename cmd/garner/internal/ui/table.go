// Package ui is how garner shows things to people: tables, sizes, durations
// and progress.
package ui

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table is text in aligned columns with a line above and below.
type Table struct {
	head   []string
	rows   [][]string // a nil row is a blank line
	footer []string
}

// NewTable returns a table with these headings.
func NewTable(head ...string) *Table { return &Table{head: head} }

// Row adds a row. A cell may have several lines.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Footer adds a line below the table.
func (t *Table) Footer(line string) { t.footer = append(t.footer, line) }

// Write prints the table.
func (t *Table) Write(w io.Writer) error {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			for _, line := range strings.Split(cell, "\n") {
				widths[i] = max(widths[i], utf8.RuneCountInString(line))
			}
		}
	}
	total := 2 * (len(widths) - 1)
	for _, n := range widths {
		total += n
	}
	out := bufio.NewWriter(w)
	rule := strings.Repeat("-", total)
	writeRow(out, widths, t.head)
	fmt.Fprintln(out, rule)
	for _, row := range t.rows {
		writeRow(out, widths, row)
	}
	fmt.Fprintln(out, rule)
	for _, line := range t.footer {
		fmt.Fprintln(out, line)
	}
	return out.Flush()
}

// writeRow prints the lines of a row's cells side by side.
func writeRow(out io.Writer, widths []int, row []string) {
	lines := make([][]string, len(row))
	height := 1
	for i, cell := range row {
		lines[i] = strings.Split(cell, "\n")
		height = max(height, len(lines[i]))
	}
	for n := range height {
		var b strings.Builder
		for i := range lines {
			cell := ""
			if n < len(lines[i]) {
				cell = lines[i][n]
			}
			b.WriteString(cell)
			if i < len(lines)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
	}
}
