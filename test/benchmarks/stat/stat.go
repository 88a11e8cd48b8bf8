// Package stat computes the statistics that the tables show.
package stat

import (
	"fmt"
	"math"
	"slices"
)

// Quantile returns the q-quantile of values, or 0 if there are none. It sorts values in place.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	i := int(math.Ceil(q*float64(len(values)))) - 1
	return values[min(max(i, 0), len(values)-1)]
}

// A Spread is the median of repeated measurements with the quartiles on both sides of it.
type Spread struct{ Low, Median, High float64 }

// Of returns the spread of values. It sorts values in place.
func Of(values []float64) Spread {
	return Spread{Quantile(values, 0.25), Quantile(values, 0.5), Quantile(values, 0.75)}
}

// String returns the median, followed by the quartiles in parentheses.
func (s Spread) String() string {
	return fmt.Sprintf("%s (%s-%s)", short(s.Median), short(s.Low), short(s.High))
}

// short formats v with about two significant digits.
func short(v float64) string {
	switch {
	case v < 0.1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
