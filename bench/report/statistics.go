package report

import (
	"math"
	"slices"
)

// Spread is where the values of several runs are.
type Spread struct{ Median, Min, Max float64 }

// spread returns the spread of a value of the samples, which must not be none.
func spread(samples []Sample, value func(Sample) float64) Spread {
	v := values(samples, value)
	slices.Sort(v)
	n := len(v)
	return Spread{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}

func values(samples []Sample, value func(Sample) float64) []float64 {
	v := make([]float64, len(samples))
	for i, s := range samples {
		v[i] = value(s)
	}
	return v
}

func wall(s Sample) float64       { return s.Wall }
func cpu(s Sample) float64        { return s.CPU() }
func rss(s Sample) float64        { return float64(s.RSS) }
func repository(s Sample) float64 { return float64(s.Repository) }

// Verdict says how a value changed.
type Verdict string

const (
	Faster    Verdict = "faster"
	Slower    Verdict = "slower"
	Unchanged Verdict = "unchanged within the spread"
	// TooFew means that no difference, however large, could be told from chance.
	TooFew Verdict = "too few runs to tell"
)

const (
	// significance is how likely, at most, a difference that we report would
	// be if there were none.
	significance = 0.05
	// fewest is from how many runs on each side on that can be reached.
	fewest = 4
	// least is the smallest difference that is worth a word, as a part of the
	// old value. Machines differ by as much from one minute to the next.
	least = 0.02
)

// judge compares two series of times. It is the Mann-Whitney test: it asks how
// often a new run is below an old one, and assumes nothing about how times are
// distributed.
func judge(before, after []float64) Verdict {
	if min(len(before), len(after)) < fewest {
		return TooFew
	}
	a, b := median(before), median(after)
	if math.Abs(b-a) < least*a || mannWhitney(before, after) > significance {
		return Unchanged
	}
	if b < a {
		return Faster
	}
	return Slower
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// mannWhitney returns the two-sided probability that values of one origin
// divide into two series as unequal as these. It is exact: it counts, over all
// ways to choose which of the values belong to x, the sums of their ranks.
func mannWhitney(x, y []float64) float64 {
	all := slices.Concat(x, y)
	slices.Sort(all)
	// Ranks are doubled, so that equal values can share a middle one.
	rank := func(v float64) int {
		low, _ := slices.BinarySearch(all, v)
		high := low
		for high < len(all) && all[high] == v {
			high++
		}
		return low + high + 1
	}
	sum := 0
	for _, v := range x {
		sum += rank(v)
	}
	// ways[k][s] is in how many ways k of the values so far have the sum s.
	most := 2 * len(all) * len(x)
	ways := make([][]float64, len(x)+1)
	for k := range ways {
		ways[k] = make([]float64, most+1)
	}
	ways[0][0] = 1
	for _, v := range all {
		r := rank(v)
		for k := len(x); k >= 1; k-- {
			for s := most; s >= r; s-- {
				ways[k][s] += ways[k-1][s-r]
			}
		}
	}
	var total, extreme float64
	middle := len(x) * (len(all) + 1) // the expected doubled sum
	for s, n := range ways[len(x)] {
		total += n
		if abs(s-middle) >= abs(sum-middle) {
			extreme += n
		}
	}
	return extreme / total
}

func abs(n int) int { return max(n, -n) }
