// Package simulation runs random histories of a cache in fake time and checks invariants such as
// "an expired token is not sent".
//
// A [History] is made from a seed: callers that ask for tokens, send requests, log in, revoke and
// leave, and an authorization server that loses answers, locks users out, revokes tokens and goes
// down, while the wall clock is stepped. [Run] runs one in a testing/synctest bubble. A judge sits
// on both HTTP connections and in the hooks, keeps its own books of tokens and passwords, and
// writes down every [Invariant] that is broken.
//
// A [Bug] is a mistake that can be planted around the library. The tests run each of [Bugs] until
// the invariant that it breaks is seen to be broken, which shows that the judge notices.
//
// From the root of the repository:
//
//	make soak HISTORIES=100000
//	SOAK_SEED=42 make soak HISTORIES=1
//
// The first runs random histories and prints how much was simulated; the second runs seed 42 alone.
// When a history fails, add its seed to testdata/regressions/seeds.txt. A seed fixes what happens
// and when, but not how the scheduler orders what happens at the same time, so that a failing seed
// may need several runs.
package simulation
