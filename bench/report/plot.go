package report

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// errNothingToPlot means that a group has no ratio.
var errNothingToPlot = errors.New("nothing to plot")

// Plots draws a plot of each group's wall times as ratios to the first peer,
// and returns them as SVG, by group. A group without a ratio has none.
func (r *Report) Plots() (map[string][]byte, error) {
	plots := make(map[string][]byte)
	for _, g := range r.groups() {
		var b bytes.Buffer
		err := r.plot(&b, g)
		if errors.Is(err, errNothingToPlot) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("plot of %s: %w", g, err)
		}
		// Where the font is missing, another of the same widths will do.
		plots[g] = bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	}
	return plots, nil
}

// bars is the series of one peer: the logarithms of its ratios to base 2, in
// the order of the operations. Where there is none it is 0: no bar.
type bars struct {
	peer   string
	ratios []float64
}

// ratios returns the operations of a group that have ratios, and each other
// peer's series.
func (r *Report) ratios(group string) ([]string, []bars) {
	var ops []string
	series := make([]bars, max(len(r.Peers), 1)-1)
	for _, op := range r.operations(group) {
		first := r.line(group, op, r.Peers[0].Name)
		if first == nil {
			continue
		}
		some := false
		row := make([]float64, len(series))
		for i, p := range r.Peers[1:] {
			if l := r.line(group, op, p.Name); l != nil {
				row[i] = math.Log2(spread(l.Samples, wall).Median / spread(first.Samples, wall).Median)
				some = true
			}
		}
		if some {
			ops = append(ops, op)
			for i := range series {
				series[i].peer = r.Peers[i+1].Name
				series[i].ratios = append(series[i].ratios, row[i])
			}
		}
	}
	return ops, series
}

const (
	barWidth  = vg.Length(9)
	plotWidth = vg.Length(560)
)

// The colours are of middle brightness: they are seen on white and on black,
// and the plot has no background of its own.
func ink() color.Color  { return color.NRGBA{0x80, 0x80, 0x80, 0xff} }
func grid() color.Color { return color.NRGBA{0x80, 0x80, 0x80, 0x50} }

func barColor(i int) color.Color {
	list := []color.NRGBA{{0x2f, 0x81, 0xc9, 0xff}, {0xd6, 0x7d, 0x1f, 0xff}, {0x3f, 0x9e, 0x5a, 0xff}, {0xa8, 0x6b, 0xc4, 0xff}, {0xcc, 0x55, 0x55, 0xff}}
	return list[i%len(list)]
}

// plot draws horizontal bars: to the left of 1 is faster than the first peer.
func (r *Report) plot(w io.Writer, group string) error {
	ops, series := r.ratios(group)
	if len(ops) == 0 {
		return errNothingToPlot
	}
	p := plot.New()
	style(p, fmt.Sprintf("%s: wall time, as a ratio to %s (to the left is faster)", group, r.Peers[0].Name))
	reach := 1.0
	for i, s := range series {
		values := make(plotter.Values, len(ops))
		for j, v := range s.ratios {
			values[len(ops)-1-j] = v // from top to bottom
			reach = max(reach, math.Ceil(math.Abs(v)))
		}
		chart, err := plotter.NewBarChart(values, barWidth)
		if err != nil {
			return err
		}
		chart.Horizontal = true
		chart.Color = barColor(i)
		chart.LineStyle.Width = 0
		chart.Offset = barWidth * vg.Length(float64(len(series)-1)/2-float64(i))
		p.Add(chart)
		p.Legend.Add(s.peer, chart)
	}
	row := barWidth*vg.Length(len(series)) + 8
	above := vg.Length(len(series))*16 + 6 // for the legend
	axes(p, ops, reach)
	p.Y.Max += float64(above / row)
	c := vgsvg.New(plotWidth, vg.Length(len(ops))*row+above+60)
	p.Draw(draw.Crop(draw.New(c), 8, -16, 6, -8))
	_, err := c.WriteTo(w)
	return err
}

// axes names the operations and the ratios, which reach from 1/2^reach to 2^reach.
func axes(p *plot.Plot, ops []string, reach float64) {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[len(ops)-1-i] = op
	}
	p.NominalY(names...)
	p.Y.Tick.Label.Color = ink()
	p.Y.Min, p.Y.Max = -0.5, float64(len(ops))-0.5
	p.X.Min, p.X.Max = -reach, reach
	var ticks plot.ConstantTicks
	for v := -reach; v <= reach; v++ {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.3g", math.Exp2(v))})
	}
	p.X.Tick.Marker = ticks
}

// style sets colours and a font without serifs for all text.
func style(p *plot.Plot, title string) {
	p.BackgroundColor = nil
	p.Title.Text = title
	p.Title.Padding = 8
	p.Legend.Top = true
	p.Legend.ThumbnailWidth = 14
	p.Legend.Padding = 4
	sans := func(s *text.Style, size vg.Length) {
		s.Color = ink()
		s.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	}
	sans(&p.Title.TextStyle, 12)
	sans(&p.Legend.TextStyle, 11)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		sans(&a.Label.TextStyle, 11)
		sans(&a.Tick.Label, 10)
		a.LineStyle.Color = ink()
		a.Tick.LineStyle.Color = ink()
	}
	g := plotter.NewGrid()
	g.Horizontal.Width = 0
	g.Vertical.Color = grid()
	p.Add(g)
}
