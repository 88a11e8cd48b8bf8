package picture

import (
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/load"
)

// luminance returns the relative luminance of c as defined by WCAG 2.
func luminance(c color.NRGBA) float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// contrast returns the contrast ratio of two colors as defined by WCAG 2.
func contrast(a, b color.NRGBA) float64 {
	light, dark := luminance(a), luminance(b)
	return (max(light, dark) + 0.05) / (min(light, dark) + 0.05)
}

func TestColorsAreReadableOnLightAndDarkPages(t *testing.T) {
	pages := map[string]color.NRGBA{"white": {0xff, 0xff, 0xff, 0xff}, "dark": {0x0d, 0x11, 0x17, 0xff}, "black": {A: 0xff}}
	for name, c := range map[string]color.NRGBA{"gray": gray, "ours": ours, "rest": rest} {
		for page, background := range pages {
			if got := contrast(c, background); got < 3.5 {
				t.Errorf("contrast of %s on %s: got %.2f, want at least 3.5", name, page, got)
			}
		}
	}
}

func TestPictureHasNoBackgroundAndUsesCommonFonts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "latency.svg")
	samples := []load.Sample{{Due: 0, Latency: time.Millisecond}, {Due: time.Second, Latency: 300 * time.Millisecond}}
	if err := Latency(file, "title", []Line{{Name: "one", Samples: samples}, {Name: "two", Ours: true, Samples: samples}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, unwanted := range []string{"<rect", "fill:#FFFFFF", "Liberation"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("the picture has %q", unwanted)
		}
	}
	for _, wanted := range []string{"<svg", "title", "one", "two", "font-family:Arial,Helvetica,sans-serif"} {
		if !strings.Contains(text, wanted) {
			t.Errorf("the picture lacks %q", wanted)
		}
	}
}
