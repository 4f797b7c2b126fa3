package report

import (
	"fmt"
	"slices"
)

// limitsOf returns the limits of a group, or nil.
func (r *Report) limitsOf(group string) *Limits {
	if i := slices.IndexFunc(r.Limits, func(l Limits) bool { return l.Group == group }); i >= 0 {
		return &r.Limits[i]
	}
	return nil
}

// limit returns the least time that the line's operation could take, in
// seconds. It holds for the work in garner's format, so programs with another
// one have none.
func (r *Report) limit(l *Line) (float64, bool) {
	limits := r.limitsOf(l.Group)
	if kind := r.kind(l.Peer); limits == nil || kind != "garner" && kind != "restic" {
		return 0, false
	}
	s, ok := limits.Seconds[l.Operation]
	return s, ok
}

func (r *Report) kind(peer string) string {
	if i := slices.IndexFunc(r.Peers, func(p Peer) bool { return p.Name == peer }); i >= 0 {
		return r.Peers[i].Kind
	}
	return ""
}

// primitives writes the table of what the limits are computed with.
func (d *document) primitives(group string) {
	limits := d.r.limitsOf(group)
	if limits == nil || len(limits.Primitives) == 0 {
		return
	}
	d.printf("\nThe limits are the work divided by the speed of its parts, which were measured here on one core; see docs/benchmarks.md.\n\n")
	d.printf("| primitive | speed | unit |\n| --- | --: | --- |\n")
	for _, p := range limits.Primitives {
		speed, unit := p.Speed, p.Unit+"/s"
		if p.Unit == "bytes" {
			speed, unit = p.Speed/mebibyte, "MiB/s"
		}
		d.printf("| %s | %s | %s |\n", cell(p.Name), brisk(speed), cell(unit))
	}
}

// brisk shows a speed with the digits that mean something.
func brisk(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
