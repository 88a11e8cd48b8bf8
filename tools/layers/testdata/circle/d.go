package circle

// first depends on e through a field of a generic type alone.
func first(x *pair) int { return stop(a{b{x.first}}) }
