package stat

import "testing"

func TestQuantile(t *testing.T) {
	values := func() []float64 { return []float64{4, 1, 3, 2, 5} }
	for _, row := range []struct {
		q    float64
		want float64
	}{{0, 1}, {0.2, 1}, {0.21, 2}, {0.5, 3}, {0.99, 5}, {1, 5}} {
		if got := Quantile(values(), row.q); got != row.want {
			t.Errorf("quantile %v: got %v, want %v", row.q, got, row.want)
		}
	}
	if got := Quantile(nil, 0.5); got != 0 {
		t.Errorf("no values: got %v, want 0", got)
	}
}

func TestSpread(t *testing.T) {
	got := Of([]float64{0.4, 0.1, 0.2, 0.3}).String()
	if want := "0.20 (0.10-0.30)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
