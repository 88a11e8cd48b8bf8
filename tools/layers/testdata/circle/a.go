// Package circle has a circle of three files, a, b and c. d leads into it, e does not lead anywhere.
package circle

type a struct{ b b }

func (x a) run() int { return x.b.run() }
