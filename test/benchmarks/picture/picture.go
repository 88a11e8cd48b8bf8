// Package picture draws the results as SVG without a background, in colours that can be read on light and on dark pages.
package picture

import (
	"bytes"
	"image/color"
	"os"
	"regexp"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// These have a contrast of at least 3.5 to white and to black.
var (
	gray = color.NRGBA{R: 0x7a, G: 0x7a, B: 0x7a, A: 0xff}
	ours = color.NRGBA{R: 0x2f, G: 0x81, B: 0xd7, A: 0xff}
	rest = color.NRGBA{R: 0xd0, G: 0x6a, B: 0x1c, A: 0xff}
)

// newPlot has its text and lines in gray.
func newPlot(title string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text = title
	p.Title.Padding = vg.Points(6)
	p.Title.TextStyle.Color = gray
	p.Title.TextStyle.Font.Size = vg.Points(10)
	p.Legend.TextStyle.Color = gray
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color = gray
		axis.Label.TextStyle.Color = gray
		axis.Label.TextStyle.Font.Size = vg.Points(9)
		axis.Tick.Color = gray
		axis.Tick.Label.Color = gray
		axis.Tick.Label.Font.Size = vg.Points(9)
	}
	return p
}

// save draws plots in rows and columns, aligned, into a file.
func save(file string, plots [][]*plot.Plot, width, height vg.Length) error {
	canvas := vgsvg.New(width, height)
	tiles := draw.Tiles{Rows: len(plots), Cols: len(plots[0]), PadX: vg.Points(16), PadY: vg.Points(10),
		PadTop: vg.Points(4), PadBottom: vg.Points(4), PadLeft: vg.Points(4), PadRight: vg.Points(12)}
	for i, row := range plot.Align(plots, tiles, draw.New(canvas)) {
		for j, c := range row {
			plots[i][j].Draw(c)
		}
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	return os.WriteFile(file, anyFont.ReplaceAll(b.Bytes(), []byte(`font-family:Arial,Helvetica,sans-serif;font-variant`)), 0o644)
}

// anyFont is the font that the plots name, which few have; those that take its place are about as wide.
var anyFont = regexp.MustCompile(`font-family:[^;]*;font-variant`)
