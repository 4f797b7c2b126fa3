package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Compare writes a table of how wall times changed between two reports, with a
// verdict for each line that both have.
func Compare(w io.Writer, before, after *Report) error {
	var b strings.Builder
	for _, d := range differences(before, after) {
		fmt.Fprintf(&b, "note: %s\n", d)
	}
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "corpus\toperation\tpeer\told s\tnew s\tchange\tverdict\n")
	counts := make(map[Verdict]int)
	missing := 0
	for _, l := range after.Lines {
		old := before.line(l.Group, l.Operation, l.Peer)
		if old == nil {
			missing++
			continue
		}
		a, z := spread(old.Samples, wall), spread(l.Samples, wall)
		v := judge(values(old.Samples, wall), values(l.Samples, wall))
		counts[v]++
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%+.1f%%\t%s\n", l.Group, l.Operation, l.Peer, brief(a), brief(z), (z.Median/a.Median-1)*100, v)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, v := range []Verdict{Faster, Slower, Unchanged, TooFew} {
		if counts[v] > 0 {
			fmt.Fprintf(&b, "%d %s\n", counts[v], v)
		}
	}
	if missing > 0 {
		fmt.Fprintf(&b, "%d only in the new report\n", missing)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func brief(s Spread) string {
	return fmt.Sprintf("%s (%s..%s)", seconds(s.Median), seconds(s.Min), seconds(s.Max))
}

// differences tells what makes two reports hard to compare.
func differences(before, after *Report) []string {
	var list []string
	a, b := before.Machine, after.Machine
	if a.CPU != b.CPU || a.Cores != b.Cores || a.Kernel != b.Kernel || a.FileSystem != b.FileSystem {
		list = append(list, fmt.Sprintf("the machines differ: %s, %d cores, %s, %s; and %s, %d cores, %s, %s",
			a.CPU, a.Cores, a.Kernel, a.FileSystem, b.CPU, b.Cores, b.Kernel, b.FileSystem))
	}
	for _, c := range after.Corpora {
		i := slices.IndexFunc(before.Corpora, func(x Corpus) bool { return x.Name == c.Name })
		if i >= 0 && before.Corpora[i] != c {
			list = append(list, fmt.Sprintf("%s is not the same data in both", c.Name))
		}
	}
	for _, p := range after.Peers {
		i := slices.IndexFunc(before.Peers, func(x Peer) bool { return x.Name == p.Name })
		if i >= 0 && before.Peers[i].Version != p.Version {
			list = append(list, fmt.Sprintf("%s was %s and is %s", p.Name, before.Peers[i].Version, p.Version))
		}
	}
	return list
}
