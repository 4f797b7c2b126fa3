package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Unlimited is a count without an end.
const Unlimited = -1

// Policy says which snapshots are kept when others are forgotten. Each field
// that is not empty is a rule, and a snapshot stays if any rule keeps it.
// See [ParsePolicy] for policies as text.
//
// The counts keep the newest snapshot of each of the last hours, days, weeks,
// months or years that have one, or the last snapshots whatever their time.
// Periods without a snapshot do not count. If there are fewer periods than the
// count asks for, the oldest snapshot stays as well: it is all there is of the
// time before.
//
// The Durations are counted back from the newest snapshot that is not in the
// future. Within keeps all since then; the others are counts without an end,
// but for snapshots since then only.
type Policy struct {
	Last    int
	Hourly  int
	Daily   int
	Weekly  int // weeks begin on Monday
	Monthly int
	Yearly  int

	Within        Duration
	WithinHourly  Duration
	WithinDaily   Duration
	WithinWeekly  Duration
	WithinMonthly Duration
	WithinYearly  Duration

	Tags []TagList // keep what matches any of them
}

// Empty reports whether the policy has no rule, so that it keeps nothing.
func (p *Policy) Empty() bool {
	for _, r := range p.rules() {
		if !r.idle() {
			return false
		}
	}
	return len(p.Tags) == 0
}

// Validate returns an error if a number makes no sense: a count below
// Unlimited, or a negative duration.
func (p *Policy) Validate() error {
	for _, r := range p.rules() {
		if r.count < Unlimited {
			return fmt.Errorf("policy: can't keep %d of %s", r.count, r.rule)
		}
		if err := r.within.validate(); err != nil {
			return fmt.Errorf("policy: %s: %w", r.rule, err)
		}
	}
	return nil
}

// Rule is the kind of a rule of a Policy.
type Rule uint8

// The rules in the order in which they are looked at.
const (
	RuleTag Rule = iota
	RuleWithin
	RuleLast
	RuleHourly
	RuleDaily
	RuleWeekly
	RuleMonthly
	RuleYearly
	RuleWithinHourly
	RuleWithinDaily
	RuleWithinWeekly
	RuleWithinMonthly
	RuleWithinYearly
)

// ruleNames are the words of the policy language.
var ruleNames = [...]string{
	"tag", "within", "last", "hourly", "daily", "weekly", "monthly", "yearly",
	"within-hourly", "within-daily", "within-weekly", "within-monthly", "within-yearly",
}

// String returns the name of the rule, which is the word for it in a policy's
// text.
func (r Rule) String() string { return ruleNames[r] }

// period returns the rule's period, "hourly" to "yearly".
func (r Rule) period() string { return strings.TrimPrefix(r.String(), "within-") }

// state is a rule of a policy at work. The list of snapshots goes by from the
// newest to the oldest.
type state struct {
	rule   Rule
	count  int                   // how many it may still keep, or below zero
	within Duration              // of rules that have one
	since  time.Time             // what within means here
	period func(t time.Time) int // differs for times in different periods
	seen   int                   // the period of the last snapshot that it kept
	holder *Snapshot             // that snapshot
	kept   int
}

// rules returns the policy's rules but for the tags. Those that the policy
// does not use are idle.
func (p *Policy) rules() []state {
	return []state{
		{rule: RuleWithin, within: p.Within},
		{rule: RuleLast, count: p.Last},
		{rule: RuleHourly, count: p.Hourly, period: hour},
		{rule: RuleDaily, count: p.Daily, period: day},
		{rule: RuleWeekly, count: p.Weekly, period: week},
		{rule: RuleMonthly, count: p.Monthly, period: month},
		{rule: RuleYearly, count: p.Yearly, period: time.Time.Year},
		{rule: RuleWithinHourly, within: p.WithinHourly, period: hour},
		{rule: RuleWithinDaily, within: p.WithinDaily, period: day},
		{rule: RuleWithinWeekly, within: p.WithinWeekly, period: week},
		{rule: RuleWithinMonthly, within: p.WithinMonthly, period: month},
		{rule: RuleWithinYearly, within: p.WithinYearly, period: time.Time.Year},
	}
}

func (s *state) idle() bool { return s.count == 0 && s.within.IsZero() }

// Periods are those of the time zone that is stored with the snapshot's time.

func month(t time.Time) int { return t.Year()*100 + int(t.Month()) }
func day(t time.Time) int   { return month(t)*100 + t.Day() }
func hour(t time.Time) int  { return day(t)*100 + t.Hour() }

func week(t time.Time) int {
	year, week := t.ISOWeek()
	return year*100 + week
}

// Rules returns the rules that the policy has, in the order in which they are
// looked at.
func (p *Policy) Rules() []Rule {
	var list []Rule
	if len(p.Tags) > 0 {
		list = append(list, RuleTag)
	}
	for _, s := range p.rules() {
		if !s.idle() {
			list = append(list, s.rule)
		}
	}
	return list
}

// Count returns how many snapshots a rule keeps: a number, Unlimited, or zero
// if it has no count.
func (p *Policy) Count(r Rule) int {
	if n := p.countField(r); n != nil {
		return *n
	}
	return 0
}

// A Match is why a rule keeps a snapshot.
type Match struct {
	Rule   Rule
	Tags   TagList  // of RuleTag
	Within Duration // of the rules that have one
	// Oldest means that the snapshot is not the first of its period, but
	// the oldest of all, and that the rule is not used up.
	Oldest bool
	// Number counts the snapshots that a rule keeps, from 1 for the newest.
	// It is 0 for tags.
	Number int
}

// String returns restic's words for the reason.
func (m Match) String() string {
	if m.Rule == RuleTag {
		return "has tags [" + strings.Join(m.Tags, ", ") + "]"
	}
	if m.Rule == RuleWithin {
		return "within " + m.Within.String()
	}
	text := m.Rule.period()
	if m.Oldest {
		text = "oldest " + text
	}
	if m.Within.IsZero() {
		return text + " snapshot"
	}
	return text + " within " + m.Within.String()
}

// A Miss is why a rule does not keep a snapshot. There is none for tags.
type Miss struct {
	Rule Rule
	// Holder is the newer snapshot that the rule keeps for the same period.
	Holder *Snapshot
	// Kept is how many snapshots a count kept that is used up.
	Kept int
	// Since is where the time begins that the rule is about, if the
	// snapshot is from before.
	Since time.Time
}

// String says in a few words why not.
func (m Miss) String() string {
	switch {
	case !m.Since.IsZero():
		return fmt.Sprintf("%s: before %s", m.Rule, m.Since.Format("2006-01-02 15:04:05"))
	case m.Holder != nil:
		return fmt.Sprintf("%s: %s is newer", m.Rule, m.Holder.ID.Short())
	}
	return fmt.Sprintf("%s: %d newer kept", m.Rule, m.Kept)
}

// Decision is what a policy says about a snapshot. It is kept if there is a
// match. Otherwise Misses has an entry for each rule but tags.
type Decision struct {
	Snapshot *Snapshot
	Matches  []Match
	Misses   []Miss
}

// Keep reports whether the snapshot stays.
func (d *Decision) Keep() bool { return len(d.Matches) > 0 }

// Decide applies a policy to the snapshots of a group. The decisions are
// sorted from the newest snapshot to the oldest; the list is not changed. now
// says which snapshots are in the future: those do not count as the newest
// from which durations are counted back.
func Decide(list []*Snapshot, p *Policy, now time.Time) []Decision {
	list = slices.Clone(list)
	SortNewestFirst(list)
	from := reference(list, now)
	rules := slices.DeleteFunc(p.rules(), func(s state) bool { return s.idle() })
	for i := range rules {
		rules[i].since = rules[i].within.Before(from)
	}
	decisions := make([]Decision, len(list))
	for i, sn := range list {
		d := Decision{Snapshot: sn}
		for _, tags := range p.Tags {
			if tags.Match(sn) {
				d.Matches = append(d.Matches, Match{Rule: RuleTag, Tags: tags})
			}
		}
		for r := range rules {
			if miss := rules[r].look(sn, i == len(list)-1, &d); miss != nil {
				d.Misses = append(d.Misses, *miss)
			}
		}
		if d.Keep() {
			d.Misses = nil
		}
		decisions[i] = d
	}
	return decisions
}

// look adds a match to d if the rule keeps the snapshot, and else says why
// not.
func (s *state) look(sn *Snapshot, oldest bool, d *Decision) *Miss {
	m := Match{Rule: s.rule, Within: s.within}
	switch {
	case !s.within.IsZero():
		if !sn.Time.After(s.since) {
			return &Miss{Rule: s.rule, Since: s.since}
		}
	case s.count == 0:
		return &Miss{Rule: s.rule, Kept: s.kept}
	}
	if s.period != nil {
		now := s.period(sn.Time)
		if s.holder != nil && now == s.seen {
			if !oldest {
				return &Miss{Rule: s.rule, Holder: s.holder}
			}
			m.Oldest = true
		}
		s.seen = now
	}
	s.holder = sn
	s.kept++
	if s.count > 0 {
		s.count--
	}
	m.Number = s.kept
	d.Matches = append(d.Matches, m)
	return nil
}

// reference returns the time of the newest snapshot that is before now, zero
// if there is none.
func reference(newestFirst []*Snapshot, now time.Time) time.Time {
	for _, sn := range newestFirst {
		if sn.Time.Before(now) {
			return sn.Time
		}
	}
	return time.Time{}
}

// Reason tells why a snapshot is kept, in restic's words.
type Reason struct {
	Snapshot *Snapshot
	Matches  []string
}

// Apply divides the snapshots of a group as [Decide] does, each part sorted
// from the newest snapshot to the oldest. There is a reason for each snapshot
// that is kept. An empty policy keeps nothing.
func Apply(list []*Snapshot, p *Policy, now time.Time) (keep, remove []*Snapshot, reasons []Reason) {
	for _, d := range Decide(list, p, now) {
		if !d.Keep() {
			remove = append(remove, d.Snapshot)
			continue
		}
		keep = append(keep, d.Snapshot)
		reasons = append(reasons, d.Reason())
	}
	return keep, remove, reasons
}

// Reason returns the matches as text.
func (d *Decision) Reason() Reason {
	r := Reason{Snapshot: d.Snapshot}
	for _, m := range d.Matches {
		r.Matches = append(r.Matches, m.String())
	}
	return r
}
