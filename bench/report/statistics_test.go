package report

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		walls []float64
		want  Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{4, 2}, Spread{3, 2, 4}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{8, 1, 2, 4}, Spread{3, 1, 8}},
	} {
		if got := spread(samples(test.walls...), wall); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.walls, got, test.want)
		}
	}
}

func samples(walls ...float64) []Sample {
	var list []Sample
	for _, w := range walls {
		list = append(list, Sample{Wall: w})
	}
	return list
}

func TestVerdicts(t *testing.T) {
	for name, test := range map[string]struct {
		before, after []float64
		want          Verdict
	}{
		"half":                     {[]float64{10, 10.1, 10.2, 9.9, 10}, []float64{5, 5.1, 5.2, 4.9, 5}, Faster},
		"double":                   {[]float64{5, 5.1, 5.2, 4.9, 5}, []float64{10, 10.1, 10.2, 9.9, 10}, Slower},
		"four runs":                {[]float64{10, 11, 12, 13}, []float64{6, 7, 8, 9}, Faster},
		"the same":                 {[]float64{10, 11, 12, 13, 14}, []float64{10, 11, 12, 13, 14}, Unchanged},
		"overlapping":              {[]float64{10, 11, 12, 13, 14}, []float64{9, 10.5, 11.5, 12.5, 13.5}, Unchanged},
		"certain, but very little": {[]float64{10, 10, 10, 10, 10}, []float64{9.9, 9.9, 9.9, 9.9, 9.9}, Unchanged},
		"one outlier":              {[]float64{10, 10.1, 10.2, 9.9, 3}, []float64{5, 5.1, 5.2, 4.9, 5}, Unchanged},
		"three runs":               {[]float64{10, 10, 10}, []float64{1, 1, 1, 1, 1}, TooFew},
	} {
		if got := judge(test.before, test.after); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// The probabilities are those of the tables of the test: 2 of all ways to
// choose are as extreme as no overlap at all.
func TestMannWhitney(t *testing.T) {
	for _, test := range []struct {
		x, y []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 2.0 / 20},
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.0 / 70},
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.0 / 252},
		{[]float64{1, 2, 3, 5}, []float64{4, 6, 7, 8}, 4.0 / 70},
		{[]float64{1, 1}, []float64{1, 1}, 1},
	} {
		if got := mannWhitney(test.x, test.y); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%v, %v: %g, want %g", test.x, test.y, got, test.want)
		}
	}
}

func TestMannWhitneyIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		series := rapid.SliceOfN(rapid.Map(rapid.IntRange(1, 20), func(n int) float64 { return float64(n) }), 1, 9)
		x, y := series.Draw(t, "x"), series.Draw(t, "y")
		p := mannWhitney(x, y)
		if p <= 0 || p > 1 {
			t.Fatalf("probability %g", p)
		}
		if q := mannWhitney(y, x); math.Abs(p-q) > 1e-9 {
			t.Fatalf("%g, and the other way round %g", p, q)
		}
	})
}
