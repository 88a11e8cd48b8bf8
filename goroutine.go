package tokencache

import (
	"bytes"
	"context"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// Token has no context, so a grant, a hook or an HTTP client that calls it on the source it serves can only be
// recognized by its goroutine. It would wait for itself.

// running holds the flights of all caches by the goroutines that run their user code: caches can refer to each other.
var running sync.Map // *flight by uint64

// onBehalf runs user code of the flight that ctx belongs to, and remembers the goroutine meanwhile. It is looked for on
// stacks, and therefore never inlined.
//
//go:noinline
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
func surrounding(ctx context.Context) *flight {
	if f, ok := ctx.Value(flightKey{}).(*flight); ok {
		return f
	}
	if !inUserCode() {
		return nil
	}
	if f, ok := running.Load(goroutineID()); ok {
		return f.(*flight)
	}
	return nil
}

var onBehalfEntry = reflect.ValueOf(onBehalf).Pointer()

// inUserCode looks for onBehalf among the callers. It costs a microsecond where goroutineID costs twenty and a lock that
// all goroutines share, which thousands that are about to wait would notice.
func inUserCode() bool {
	var most [64]uintptr
	stack := most[:]
	n := runtime.Callers(2, stack)
	for n == len(stack) {
		stack = make([]uintptr, 2*n)
		n = runtime.Callers(2, stack)
	}
	return slices.ContainsFunc(stack[:n], func(pc uintptr) bool {
		fn := runtime.FuncForPC(pc)
		return fn != nil && fn.Entry() == onBehalfEntry
	})
}

// goroutineID reads the number that a stack trace begins with: "goroutine 18 [running]:".
func goroutineID() uint64 {
	var buf [64]byte
	fields := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	if len(fields) < 2 {
		return 0
	}
	id, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return id
}
