package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/garner-backup/garner/cmd/garner/internal/cli"
	"github.com/garner-backup/garner/crypto"
	"github.com/garner-backup/garner/repo/forget"
	"github.com/garner-backup/garner/repo/snapshot"
)

// explainPlan shows what a policy does: for each group how far its rules are
// used, a calendar, and for each snapshot why it stays or goes.
func explainPlan(app *cli.App, plan *forget.Plan, policy *snapshot.Policy) error {
	if app.JSON {
		return app.PrintJSON(explainJSON(plan, policy))
	}
	out := bufio.NewWriter(app.Stdout)
	fmt.Fprintf(out, "policy: %s\n", policyText(policy))
	if len(plan.Groups) == 0 {
		fmt.Fprintln(out, "no snapshots")
	}
	for i := range plan.Groups {
		g := &plan.Groups[i]
		fmt.Fprintln(out)
		if name := describeGroup(g.Key); name != "" {
			fmt.Fprintf(out, "%s\n", name)
		}
		fmt.Fprintf(out, "%d of %d snapshots stay; %s\n\n", len(g.Keep()), len(g.Decisions), usage(g, policy))
		newCalendar(g).write(out)
		fmt.Fprintln(out)
		writeDecisions(out, g, policy)
	}
	return out.Flush()
}

// usage tells how many snapshots each rule keeps.
func usage(g *forget.Group, policy *snapshot.Policy) string {
	kept := make(map[snapshot.Rule]int)
	for _, d := range g.Decisions {
		for _, m := range d.Matches {
			kept[m.Rule]++
		}
	}
	var parts []string
	for _, r := range policy.Rules() {
		part := fmt.Sprintf("%s %d", r, kept[r])
		if n := policy.Count(r); n > 0 {
			part += fmt.Sprintf(" of %d", n)
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "there is no rule"
	}
	return "used: " + strings.Join(parts, ", ")
}

// writeDecisions writes a line for each snapshot, the newest first.
func writeDecisions(out io.Writer, g *forget.Group, policy *snapshot.Policy) {
	for i := range g.Decisions {
		d := &g.Decisions[i]
		verb, why := "stays", matchTexts(d, policy)
		if !d.Keep() {
			verb, why = "goes", missSummary(d, policy)
		}
		fmt.Fprintf(out, "%-5s  %s  %s  %s\n", verb, whenTaken(d.Snapshot.Time), d.Snapshot.ID.Short(), strings.Join(why, "; "))
	}
}

// whenTaken formats a time in the time zone that the policy goes by. The zone
// is left out if it is that of the reader.
func whenTaken(t time.Time) string {
	const layout = "Mon " + timeFormat
	_, zone := t.Zone()
	if _, here := t.Local().Zone(); zone == here {
		return t.Format(layout)
	}
	return t.Format(layout + " -0700")
}

// matchTexts returns why a snapshot stays.
func matchTexts(d *snapshot.Decision, policy *snapshot.Policy) []string {
	var list []string
	for _, m := range d.Matches {
		text := m.Rule.String()
		switch n := policy.Count(m.Rule); {
		case m.Rule == snapshot.RuleTag:
			text += " " + strings.Join(m.Tags, ",")
		case n > 0:
			text += fmt.Sprintf(" %d of %d", m.Number, n)
		case !m.Within.IsZero():
			text += " " + m.Within.String()
		default:
			text += " " + strconv.Itoa(m.Number)
		}
		if m.Oldest {
			text += " (as the oldest)"
		}
		list = append(list, text)
	}
	return list
}

// missSummary returns why a snapshot goes, the rules with the same cause
// together.
func missSummary(d *snapshot.Decision, policy *snapshot.Policy) []string {
	var old, full, newer []string
	for _, m := range d.Misses {
		name := m.Rule.String()
		switch {
		case !m.Since.IsZero():
			old = append(old, name)
		case m.Holder != nil:
			newer = append(newer, name+" "+m.Holder.ID.Short())
		default:
			full = append(full, name)
		}
	}
	var list []string
	for _, cause := range []struct {
		name  string
		rules []string
	}{{"too old", old}, {"used up", full}, {"newer one", newer}} {
		if len(cause.rules) > 0 {
			list = append(list, cause.name+": "+strings.Join(cause.rules, ", "))
		}
	}
	if len(policy.Tags) > 0 {
		list = append(list, "no such tag")
	}
	return list
}

// missTexts returns for each rule why it does not keep a snapshot.
func missTexts(d *snapshot.Decision, policy *snapshot.Policy) []string {
	var list []string
	for _, m := range d.Misses {
		list = append(list, m.String())
	}
	if len(policy.Tags) > 0 {
		list = append(list, "tag: none of them")
	}
	return list
}

// explainGroupJSON is what programs are told of a group.
type explainGroupJSON struct {
	Tags      []string              `json:"tags"`
	Host      string                `json:"host"`
	Paths     []string              `json:"paths"`
	Policy    string                `json:"policy"`
	Snapshots []explainSnapshotJSON `json:"snapshots"` // the newest first
}

type explainSnapshotJSON struct {
	ID      crypto.ID `json:"id"`
	ShortID string    `json:"short_id"`
	Time    time.Time `json:"time"`
	Keep    bool      `json:"keep"`
	Matches []string  `json:"matches"` // why it stays
	Misses  []string  `json:"misses"`  // or why each rule does not keep it
}

func explainJSON(plan *forget.Plan, policy *snapshot.Policy) []explainGroupJSON {
	out := []explainGroupJSON{}
	for i := range plan.Groups {
		g := &plan.Groups[i]
		j := explainGroupJSON{Tags: g.Key.Tags, Host: g.Key.Hostname, Paths: g.Key.Paths, Policy: policy.String()}
		for i := range g.Decisions {
			d := &g.Decisions[i]
			s := explainSnapshotJSON{
				ID: d.Snapshot.ID, ShortID: d.Snapshot.ID.Short(), Time: d.Snapshot.Time, Keep: d.Keep(),
				Matches: []string{}, Misses: []string{},
			}
			if s.Keep {
				s.Matches = matchTexts(d, policy)
			} else {
				s.Misses = append(s.Misses, missTexts(d, policy)...)
			}
			j.Snapshots = append(j.Snapshots, s)
		}
		out = append(out, j)
	}
	return out
}
