package kafka

import (
	"sort"
	"sync"
	"time"
)

const (
	// restFor is how long the rest of a page is kept for whoever goes on from there.
	restFor = 5 * time.Second
	// restMost is how many partitions may have one: each may hold a page's bytes.
	restMost = 32
)

// rest is what was read of a partition and not asked for yet. Readers that are behind take as much as they have room for, which is less than a
// page, and go on from there when they have some again.
type rest struct {
	mu sync.Mutex
	// page begins with the offset from; it has no next if there is none.
	page page
	from int64
	drop *time.Timer
}

// put keeps the rest of a page, if there is room for it.
func (r *rest) put(l *Log, from int64, p page) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear(l)
	if from >= p.next {
		return
	}
	if l.resting.Add(1) > restMost {
		l.resting.Add(-1)
		return
	}
	r.page, r.from = p, from
	var timer *time.Timer
	timer = time.AfterFunc(restFor, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.drop == timer {
			r.clear(l)
		}
	})
	r.drop = timer
}

// take is the page that goes on from an offset, if there is one; it is kept no longer.
func (r *rest) take(l *Log, offset int64) (page, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, from := r.page, r.from
	r.clear(l)
	if offset < from || offset >= p.next {
		return page{}, false
	}
	p.records = p.records[sort.Search(len(p.records), func(i int) bool { return p.records[i].Offset >= offset }):]
	return p, true
}

// clear is to be called with r.mu held.
func (r *rest) clear(l *Log) {
	if r.drop == nil {
		return
	}
	r.drop.Stop()
	r.page, r.from, r.drop = page{}, 0, nil
	l.resting.Add(-1)
}
