package circle

const limit = 1

// stop closes the circle: its only tie is a method.
func stop(runner interface{ run() int }) int { return runner.(a).run() }
