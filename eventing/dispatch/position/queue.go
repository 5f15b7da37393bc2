package position

// queue is a ring of entries that are ready.
type queue struct {
	ring []*entry
	head int
	size int
}

func (q *queue) len() int { return q.size }

func (q *queue) push(e *entry) {
	q.grow()
	q.ring[(q.head+q.size)%len(q.ring)] = e
	q.size++
}

func (q *queue) unshift(e *entry) {
	q.grow()
	q.head = (q.head - 1 + len(q.ring)) % len(q.ring)
	q.ring[q.head] = e
	q.size++
}

func (q *queue) pop() *entry {
	if q.size == 0 {
		return nil
	}
	e := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.size--
	return e
}

// grow makes room for one more.
func (q *queue) grow() {
	if q.size < len(q.ring) {
		return
	}
	ring := make([]*entry, max(4, 2*len(q.ring)))
	for i := range q.size {
		ring[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = ring, 0
}

// schedule is a heap of entries by the time they are due, then by position.
type schedule []*entry

func (s schedule) Len() int { return len(s) }

func (s schedule) Less(i, j int) bool {
	if s[i].Due.Equal(s[j].Due) {
		return s[i].Position < s[j].Position
	}
	return s[i].Due.Before(s[j].Due)
}

func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }

func (s *schedule) Push(x any) { *s = append(*s, x.(*entry)) }

func (s *schedule) Pop() any {
	old := *s
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return e
}
