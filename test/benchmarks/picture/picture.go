// Package picture draws results as SVG files that are readable on light and dark pages: they have
// no background, and their colors contrast with both.
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

// Each color has a contrast ratio of at least 3.5 against both white and black.
var (
	gray = color.NRGBA{R: 0x7a, G: 0x7a, B: 0x7a, A: 0xff}
	ours = color.NRGBA{R: 0x2f, G: 0x81, B: 0xd7, A: 0xff}
	rest = color.NRGBA{R: 0xd0, G: 0x6a, B: 0x1c, A: 0xff}
)

// newPlot returns an empty plot with gray text and axes.
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

// save draws plots into an SVG file, aligned in rows and columns.
func save(file string, plots [][]*plot.Plot, width, height vg.Length) error {
	canvas := vgsvg.New(width, height)
	tiles := draw.Tiles{
		Rows: len(plots), Cols: len(plots[0]), PadX: vg.Points(16), PadY: vg.Points(10),
		PadTop: vg.Points(4), PadBottom: vg.Points(4), PadLeft: vg.Points(4), PadRight: vg.Points(12),
	}
	for i, row := range plot.Align(plots, tiles, draw.New(canvas)) {
		for j, c := range row {
			plots[i][j].Draw(c)
		}
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	const common = `font-family:Arial,Helvetica,sans-serif;font-variant`
	return os.WriteFile(file, fontFamily.ReplaceAll(b.Bytes(), []byte(common)), 0o644)
}

// fontFamily matches the font that the plots name. Few readers have it installed, so it is replaced
// by common fonts of about the same width.
var fontFamily = regexp.MustCompile(`font-family:[^;]*;font-variant`)
