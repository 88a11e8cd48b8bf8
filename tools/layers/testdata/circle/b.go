package circle

type b struct{ n int }

func (x b) run() int { return limit + x.n }
