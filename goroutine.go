package tokencache

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"sync"
)

// Token has no context, so a grant, a hook or an HTTP client that calls it on the source it serves can only be
// recognized by its goroutine. It would wait for itself.

// running holds the flights of all caches by the goroutines that run their user code: caches can refer to each other.
var running sync.Map // *flight by uint64

// onBehalf runs user code of the flight that ctx belongs to, and remembers the goroutine meanwhile.
func onBehalf(ctx context.Context, fn func()) {
	f, _ := ctx.Value(flightKey{}).(*flight)
	if f == nil {
		fn()
		return
	}
	id := goroutineID()
	running.Store(id, f)
	defer running.Delete(id)
	fn()
}

// surrounding returns the flight that the caller is a part of, by its context or its goroutine; nil if it is of none.
func (c *core) surrounding(ctx context.Context) *flight {
	if f, ok := ctx.Value(flightKey{}).(*flight); ok {
		return f
	}
	if f, ok := running.Load(goroutineID()); ok {
		return f.(*flight)
	}
	return nil
}

// goroutineID reads the number that a stack trace begins with: "goroutine 18 [running]:". It costs about a microsecond
// and is asked for only where a caller is about to wait.
func goroutineID() uint64 {
	var buf [64]byte
	fields := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	if len(fields) < 2 {
		return 0
	}
	id, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return id
}
