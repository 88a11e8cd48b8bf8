package worlds

import (
	"container/heap"
	"time"
)

// events are what is to happen, in order of time.
type events struct {
	now   int64
	queue queue
	count int // of all events, which numbers them
}

// An event is something that happens at a time.
type event struct {
	at     int64
	number int // orders those at the same time
	do     func()
}

func (e *events) at(at int64, do func()) {
	e.count++
	heap.Push(&e.queue, event{at, e.count, do})
}

func (e *events) after(d time.Duration, do func()) { e.at(e.now+int64(d), do) }

// run has everything happen.
func (e *events) run() {
	for len(e.queue) > 0 {
		next := heap.Pop(&e.queue).(event)
		e.now = next.at
		next.do()
	}
}

// A queue is a heap of events.
type queue []event

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].number < q[j].number
}

func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q *queue) Push(e any) { *q = append(*q, e.(event)) }

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}
