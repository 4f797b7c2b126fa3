package measure

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// parseCalls returns the number of calls in what strace -c prints: a table
// whose header names the columns, and whose last line is the total.
func parseCalls(table string) (int64, error) {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	column := -1
	for _, l := range lines {
		if f := strings.Fields(l); slices.Contains(f, "usecs/call") {
			// The header's first column, "% time", is two words.
			column = slices.Index(f, "calls") - 1
		}
	}
	f := strings.Fields(lines[len(lines)-1])
	if column < 1 || len(f) <= column || f[len(f)-1] != "total" {
		return 0, errors.New("strace printed no summary")
	}
	n, err := strconv.ParseInt(f[column], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the summary of strace: %w", err)
	}
	return n, nil
}
