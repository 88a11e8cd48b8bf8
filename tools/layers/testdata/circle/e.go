package circle

type pairOf[T any] struct{ first, second T }

type pair = pairOf[int]
