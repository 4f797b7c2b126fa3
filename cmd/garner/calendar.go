package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/garner-backup/garner/repo/forget"
	"github.com/garner-backup/garner/repo/snapshot"
)

// calendar shows a line for each month that has a snapshot, with a letter for
// each day. Days are those of the time zone that is stored with a snapshot,
// as they are for a policy.
type calendar struct{ months []calendarMonth }

type calendarMonth struct {
	first time.Time
	days  [daysInLine + 1]byte // a mark for each day, from 1; 0 if there is no snapshot
}

const daysInLine = 31

// calendarMarks has the marks and what they stand for. Of several that apply
// to a day, the first is shown: the one for the longest time.
const calendarMarks = "ymwdhlit-"

func markName(mark byte) string {
	return []string{"yearly", "monthly", "weekly", "daily", "hourly", "last", "within", "tag", "goes"}[strings.IndexByte(calendarMarks, mark)]
}

// markOf returns the mark of a rule.
func markOf(r snapshot.Rule) byte {
	name := strings.TrimPrefix(r.String(), "within-")
	i := slices.IndexFunc([]byte(calendarMarks), func(mark byte) bool { return markName(mark) == name })
	return calendarMarks[i]
}

// newCalendar returns the calendar of a group, the newest month first.
func newCalendar(g *forget.Group) *calendar {
	c := new(calendar)
	for _, d := range g.Decisions {
		marks := []byte{'-'}
		for _, m := range d.Matches {
			marks = append(marks, markOf(m.Rule))
		}
		day := &c.month(d.Snapshot.Time).days[d.Snapshot.Time.Day()]
		for _, mark := range marks {
			if *day == 0 || strings.IndexByte(calendarMarks, mark) < strings.IndexByte(calendarMarks, *day) {
				*day = mark
			}
		}
	}
	return c
}

func (c *calendar) month(t time.Time) *calendarMonth {
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	i := slices.IndexFunc(c.months, func(m calendarMonth) bool { return m.first.Equal(first) })
	if i < 0 {
		i = len(c.months)
		c.months = append(c.months, calendarMonth{first: first})
	}
	return &c.months[i]
}

func (c *calendar) write(out io.Writer) {
	fmt.Fprintf(out, "%8s%10d%10d%10d\n", "", 10, 20, 30)
	used := make(map[byte]bool)
	for _, m := range c.months {
		line := []byte(m.first.Format("2006-01 "))
		for day := 1; day <= daysInLine && m.first.AddDate(0, 0, day-1).Month() == m.first.Month(); day++ {
			mark := m.days[day]
			if mark == 0 {
				mark = '.'
			}
			used[mark] = true
			line = append(line, mark)
		}
		fmt.Fprintf(out, "%s\n", line)
	}
	var legend []string
	for _, mark := range []byte(calendarMarks) {
		if used[mark] {
			legend = append(legend, string(mark)+" "+markName(mark))
		}
	}
	fmt.Fprintf(out, "%8s%s\n", "", strings.Join(legend, ", "))
}
