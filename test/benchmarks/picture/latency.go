package picture

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/tokencache/tokencache/test/benchmarks/load"
)

// A Line is the latency of one peer over time.
type Line struct {
	Name    string
	Ours    bool
	Samples []load.Sample
}

// bin is the interval that one point represents, by the slowest request in it.
const bin = 40 * time.Millisecond

// Latency draws one plot per line into file, one above the other and to the same scale.
func Latency(file, title string, lines []Line) error {
	var plots [][]*plot.Plot
	for i, l := range lines {
		p := newPlot(l.Name)
		if i == 0 {
			p.Title.Text = title + "\n" + l.Name
		}
		p.Y.Label.Text = "ms"
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
		if i == len(lines)-1 {
			p.X.Label.Text = "seconds"
		}
		line, err := plotter.NewLine(slowest(l.Samples))
		if err != nil {
			return err
		}
		line.Color, line.Width = rest, vg.Points(1)
		if l.Ours {
			line.Color = ours
		}
		p.Add(line)
		p.Y.Min, p.Y.Max = 0.1, 1000
		plots = append(plots, []*plot.Plot{p})
	}
	return save(file, plots, 24*vg.Centimeter, vg.Length(len(lines))*6*vg.Centimeter)
}

// slowest returns the latency of the slowest request in each bin, in milliseconds.
func slowest(samples []load.Sample) plotter.XYs {
	var points plotter.XYs
	for _, s := range samples {
		at := s.Due.Truncate(bin).Seconds()
		ms := math.Max(float64(s.Latency)/float64(time.Millisecond), 0.1)
		if n := len(points); n > 0 && points[n-1].X == at {
			points[n-1].Y = math.Max(points[n-1].Y, ms)
			continue
		}
		points = append(points, plotter.XY{X: at, Y: ms})
	}
	return points
}

// decades places ticks at powers of ten.
type decades struct{}

func (decades) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for v := low; v <= high*1.001; v *= 10 {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", math.Round(v*10)/10)})
	}
	return ticks
}
