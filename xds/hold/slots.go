package hold

import "time"

// Load is what bounds the requests let go to a revision.
type Load struct {
	// Concurrency is the slots of one replica; 0 is no limit.
	Concurrency int
	// Queue is how many more a replica's own queue may take.
	Queue int
	// Coming says that more replicas are on their way.
	Coming bool
	// Direct says that requests also reach the replicas without being held; then Busy counts, the requests in flight or
	// queued at replicas as last measured.
	Direct bool
	Busy   int
}

// unseen is how long a request that was let go may be on its way before the replicas' measurements show it.
const unseen = time.Second

// slots counts what was let go to one revision and has not ended. Gateways report each end at once.
type slots struct {
	outstanding map[string]int
	total       int
	// recent is when the last were let go, oldest first.
	recent []time.Time
}

// free returns how many requests may be let go now to this many ready replicas of a limited concurrency.
//
// While more replicas are coming a request waits for a free one. Once no more are, the replicas' own queues take some
// too: they know of a free slot without asking anybody.
func (s *slots) free(load Load, ready int) int {
	room := ready * load.Concurrency
	if !load.Coming {
		room += ready * load.Queue
	}
	used := s.total
	if load.Direct && load.Busy > used {
		used = load.Busy
	}
	return max(room-used, 0)
}

func (s *slots) take(gateway string, now time.Time) {
	if s.outstanding == nil {
		s.outstanding = map[string]int{}
	}
	s.outstanding[gateway]++
	s.total++
	s.recent = append(s.forgetOld(now), now)
}

func (s *slots) give(gateway string) {
	if s.outstanding[gateway] == 0 {
		return
	}
	s.total--
	if s.outstanding[gateway]--; s.outstanding[gateway] == 0 {
		delete(s.outstanding, gateway)
	}
}

// lose gives back all of a gateway's; it reports whether there were any.
func (s *slots) lose(gateway string) bool {
	n := s.outstanding[gateway]
	s.total -= n
	delete(s.outstanding, gateway)
	return n > 0
}

// trim gives back what replicas that have this many requests cannot have, but for those let go a moment ago.
func (s *slots) trim(busy int, now time.Time) {
	s.recent = s.forgetOld(now)
	for gateway := range s.outstanding {
		for s.outstanding[gateway] > 0 && s.total > busy+len(s.recent) {
			s.give(gateway)
		}
	}
}

func (s *slots) forgetOld(now time.Time) []time.Time {
	for len(s.recent) > 0 && now.Sub(s.recent[0]) > unseen {
		s.recent = s.recent[1:]
	}
	return s.recent
}
