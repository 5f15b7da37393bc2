package scale

import (
	"container/heap"
	"time"
)

// schedule is the entries that are due at a time, the next one first.
type schedule struct{ heap dueHeap }

// set puts an entry at a time; the zero time takes it out.
func (s *schedule) set(en *entry, due time.Time) {
	if due.IsZero() {
		s.remove(en)
		return
	}
	en.due = due
	if en.index >= 0 {
		heap.Fix(&s.heap, en.index)
		return
	}
	heap.Push(&s.heap, en)
}

func (s *schedule) remove(en *entry) {
	if en.index >= 0 {
		heap.Remove(&s.heap, en.index)
	}
	en.due = time.Time{}
}

// next returns when the first entry is due, or false if none is.
func (s *schedule) next() (time.Time, bool) {
	if len(s.heap) == 0 {
		return time.Time{}, false
	}
	return s.heap[0].due, true
}

// take removes the first entry if it is due.
func (s *schedule) take(now time.Time) *entry {
	if len(s.heap) == 0 || s.heap[0].due.After(now) {
		return nil
	}
	return heap.Pop(&s.heap).(*entry)
}

type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap) Push(x any) {
	en := x.(*entry)
	en.index = len(*h)
	*h = append(*h, en)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	en := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	en.index = -1
	return en
}
