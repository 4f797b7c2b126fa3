package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/repo/snapshot"
)

// keepOptions are the flags that make a policy.
type keepOptions struct {
	flags snapshot.Policy // but for the tags
	tags  []string
	keep  string
}

func (o *keepOptions) addKeepFlags(f *pflag.FlagSet) {
	p := &o.flags
	f.StringVar(&o.keep, "keep", "", "keep what this `policy` says, like \"last 3 24h 30d 5w 12m 10y within 7d tag release\" (garner only; see docs/retention.md)")
	f.VarP(&countValue{&p.Last}, "keep-last", "l", "keep the newest `n` snapshots; 'unlimited' keeps all")
	for _, c := range []struct {
		n                   *int
		name, short, period string
	}{
		{&p.Hourly, "hourly", "H", "hours"}, {&p.Daily, "daily", "d", "days"}, {&p.Weekly, "weekly", "w", "weeks"},
		{&p.Monthly, "monthly", "m", "months"}, {&p.Yearly, "yearly", "y", "years"},
	} {
		f.VarP(&countValue{c.n}, "keep-"+c.name, c.short, fmt.Sprintf("keep the newest snapshot of each of the last `n` %s that have one; 'unlimited' is all %[1]s", c.period))
	}
	f.Var(&durationValue{&p.Within}, "keep-within", "keep all snapshots of this `duration` (like 1y5m7d2h) before the newest one")
	for _, d := range []struct {
		d            *snapshot.Duration
		name, period string
	}{
		{&p.WithinHourly, "hourly", "hour"}, {&p.WithinDaily, "daily", "day"}, {&p.WithinWeekly, "weekly", "week"},
		{&p.WithinMonthly, "monthly", "month"}, {&p.WithinYearly, "yearly", "year"},
	} {
		f.Var(&durationValue{d.d}, "keep-within-"+d.name, "keep the newest snapshot of each "+d.period+" within this `duration` before the newest one of all")
	}
	f.StringArrayVar(&o.tags, "keep-tag", nil, "keep snapshots that have all tags of this `taglist` (can be specified multiple times)")
}

// policy returns what the flags say together.
func (o *keepOptions) policy() (*snapshot.Policy, error) {
	p := o.flags
	for _, t := range o.tags {
		p.Tags = append(p.Tags, snapshot.ParseTags(t))
	}
	if o.keep == "" {
		return &p, nil
	}
	if !p.Empty() {
		return nil, cli.Usage("--keep and --keep-* flags can't be used together: put all of the policy into --keep")
	}
	parsed, err := snapshot.ParsePolicy(o.keep)
	var wrong *snapshot.PolicyError
	if errors.As(err, &wrong) {
		return nil, cli.Usage("--keep: %v%s", err, pointAt(wrong))
	}
	return parsed, err
}

// pointAt shows the text with a mark below the word that is wrong.
func pointAt(e *snapshot.PolicyError) string {
	if e.Word == "" || strings.ContainsAny(e.Text, "\n\r\t") || !utf8.ValidString(e.Text) {
		return ""
	}
	before := utf8.RuneCountInString(e.Text[:e.Offset])
	return fmt.Sprintf("\n  %s\n  %s%s", e.Text, strings.Repeat(" ", before), strings.Repeat("^", utf8.RuneCountInString(e.Word)))
}

// countValue is the value of a flag that takes a number or "unlimited".
type countValue struct{ n *int }

func (v *countValue) Set(s string) error {
	if s == "unlimited" {
		*v.n = snapshot.Unlimited
		return nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return errors.New("number out of range: use 'unlimited' to keep all")
	case err != nil:
		return errors.New("want a number or 'unlimited'")
	case n < 0:
		return errors.New("negative values not allowed, use 'unlimited' instead")
	}
	*v.n = n
	return nil
}

func (v *countValue) String() string {
	switch {
	case v.n == nil || *v.n == 0:
		return ""
	case *v.n < 0:
		return "unlimited"
	}
	return strconv.Itoa(*v.n)
}

func (v *countValue) Type() string { return "n" }

// durationValue is the value of a flag that takes a duration of the calendar.
type durationValue struct{ d *snapshot.Duration }

func (v *durationValue) Set(s string) error {
	d, err := snapshot.ParseDuration(s)
	if err != nil {
		return err
	}
	*v.d = d
	return nil
}

func (v *durationValue) String() string {
	if v.d == nil {
		return ""
	}
	return v.d.String()
}

func (v *durationValue) Type() string { return "duration" }
