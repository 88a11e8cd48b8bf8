package picture

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bars is a bar chart with one value per peer.
type Bars struct {
	Title  string
	Values []float64
	Log    bool // draw the lengths on a logarithmic scale
}

// Storm draws bar charts side by side into file. Each has one value per name; the last is ours.
func Storm(file string, names []string, groups []Bars) error {
	var row []*plot.Plot
	for i, g := range groups {
		p := newPlot(g.Title)
		if err := g.addTo(p); err != nil {
			return err
		}
		if i == 0 {
			p.NominalY(reversed(names)...)
		} else {
			p.NominalY(make([]string, len(names))...)
		}
		p.HideX()
		p.Y.Padding = vg.Points(10) // room for fonts of different widths
		row = append(row, p)
	}
	return save(file, [][]*plot.Plot{row}, 24*vg.Centimeter, vg.Length(1+len(names))*vg.Centimeter)
}

func (g Bars) addTo(p *plot.Plot) error {
	length := func(v float64) float64 {
		if g.Log {
			return math.Log10(1 + v)
		}
		return v
	}
	var others, mine plotter.Values
	var labels plotter.XYLabels
	longest := 0.0
	for i, v := range reversed(g.Values) {
		x := length(v)
		longest = math.Max(longest, x)
		if i == 0 {
			mine, others = append(mine, x), append(others, 0)
		} else {
			mine, others = append(mine, 0), append(others, x)
		}
		labels.XYs = append(labels.XYs, plotter.XY{X: x, Y: float64(i)})
		labels.Labels = append(labels.Labels, fmt.Sprintf(" %.0f", v))
	}
	for _, part := range []struct {
		values plotter.Values
		mine   bool
	}{{others, false}, {mine, true}} {
		bars, err := plotter.NewBarChart(part.values, vg.Points(14))
		if err != nil {
			return err
		}
		bars.Horizontal, bars.Color, bars.LineStyle.Width = true, rest, 0
		if part.mine {
			bars.Color = ours
		}
		p.Add(bars)
	}
	text, err := plotter.NewLabels(labels)
	if err != nil {
		return err
	}
	for i := range text.TextStyle {
		text.TextStyle[i].Color = gray
		text.TextStyle[i].Font.Size = vg.Points(9)
		text.TextStyle[i].YAlign = draw.YCenter
	}
	p.Add(text)
	p.X.Min, p.X.Max = 0, longest*1.15+0.1
	return nil
}

func reversed[T any](list []T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[len(list)-1-i] = v
	}
	return out
}
