package hold

import "time"

// Load is a revision's replicas as last measured.
type Load struct {
	// Concurrency is the slots of one replica; 0 is no limit.
	Concurrency int
	// Coming says that more replicas are on their way.
	Coming bool
	// Busy is requests in flight or queued at replicas, measured at At.
	Busy int
	At   time.Time
}

// settling is how long a request may be on its way from here to where it is measured.
const settling = 30 * time.Millisecond

// slots counts what may be let go to one revision.
type slots struct {
	load Load
	// released are the times of releases that the measurement cannot have seen.
	released []time.Time
}

// free returns how many requests may be let go now to this many ready replicas; unlimited reports that there is no bound.
//
// While more replicas are coming a request waits for a free one. Once no more are, the replicas' own queues take as many
// again: measurements are as old as their interval, and a replica must not idle through it.
func (s *slots) free(ready int) (n int, unlimited bool) {
	if s.load.Concurrency == 0 {
		return 0, true
	}
	total := ready * s.load.Concurrency
	if !s.load.Coming {
		total *= 2
	}
	return max(total-s.load.Busy-len(s.released), 0), false
}

func (s *slots) take(now time.Time) {
	if s.load.Concurrency > 0 {
		s.released = append(s.released, now)
	}
}

// measure takes a new measurement and forgets the releases that it has seen.
func (s *slots) measure(load Load) {
	s.load = load
	seen := load.At.Add(-settling)
	kept := s.released[:0]
	for _, at := range s.released {
		if at.After(seen) {
			kept = append(kept, at)
		}
	}
	s.released = kept
}
