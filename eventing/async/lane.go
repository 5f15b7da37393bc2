package async

import (
	"container/heap"
	"time"
)

// job is something that a lane does for an entry when it is due.
type job struct {
	entry *entry
	due   time.Time
	// order tells jobs apart that are due at the same time: the first to come is the first.
	order uint64
	index int
}

type jobs []*job

func (q jobs) Len() int { return len(q) }
func (q jobs) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].order < q[j].order
}
func (q jobs) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *jobs) Push(x any) {
	j := x.(*job)
	j.index = len(*q)
	*q = append(*q, j)
}
func (q *jobs) Pop() any {
	last := len(*q) - 1
	j := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	j.index = -1
	return j
}

// lane does jobs when they are due, a number of them at once. Its engine's lock guards it.
type lane struct {
	queue   jobs
	running int
	// window is how many may run at once.
	window window
	// begin starts a job; release is called when it is over.
	begin func(*job)
	timer *time.Timer
}

// push adds a job.
func (l *lane) push(j *job) { heap.Push(&l.queue, j) }

// take removes a job that has not begun, and reports whether there was one.
func (l *lane) take(j *job) bool {
	if j == nil || j.index < 0 || j.index >= len(l.queue) || l.queue[j.index] != j {
		return false
	}
	heap.Remove(&l.queue, j.index)
	return true
}

// ready returns the next job if it is due, or how long until the first one is; it does so only while one more may run.
func (l *lane) ready(now time.Time) (j *job, wait time.Duration) {
	if len(l.queue) == 0 || l.running >= l.window.size() {
		return nil, 0
	}
	if wait := l.queue[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&l.queue).(*job), 0
}

// overdue is how many jobs are due that have not begun.
func (l *lane) overdue(now time.Time) (n int) {
	for _, j := range l.queue {
		if !j.due.After(now) {
			n++
		}
	}
	return n
}

// window bounds how many run at once. An app that asks for time gets half as many, and one more for each round that goes well.
type window struct {
	most int
	now  float64
}

func (w *window) size() int { return max(1, min(w.most, int(w.now))) }

// set changes the bound.
func (w *window) set(most int) {
	if w.now == 0 || w.now >= float64(w.most) {
		w.now = float64(most)
	}
	w.most = most
	w.now = min(w.now, float64(most))
}

// fared takes note of an attempt: overloaded is an answer that asks for time.
func (w *window) fared(overloaded bool, now int) {
	switch {
	case !overloaded:
		w.now = min(w.now+1/max(w.now, 1), float64(w.most))
	case float64(now) >= w.now/2:
		// Answers to what was sent before the last step back say nothing new.
		w.now = max(1, w.now/2)
	}
}
