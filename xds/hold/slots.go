package hold

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

// slots counts what was let go to one revision and has not ended. Gateways report each end at once.
type slots struct {
	outstanding map[string]int
}

func (s *slots) total() int {
	n := 0
	for _, count := range s.outstanding {
		n += count
	}
	return n
}

// free returns how many requests may be let go now to this many ready replicas; unlimited reports that there is no bound.
//
// While more replicas are coming a request waits for a free one. Once no more are, the replicas' own queues take some
// too: they know of a free slot without asking anybody.
func (s *slots) free(load Load, ready int) (n int, unlimited bool) {
	if load.Concurrency == 0 {
		return 0, true
	}
	room := ready * load.Concurrency
	if !load.Coming {
		room += ready * load.Queue
	}
	used := s.total()
	if load.Direct && load.Busy > used {
		used = load.Busy
	}
	return max(room-used, 0), false
}

func (s *slots) take(gateway string) {
	if s.outstanding == nil {
		s.outstanding = map[string]int{}
	}
	s.outstanding[gateway]++
}

func (s *slots) give(gateway string) {
	if s.outstanding[gateway]--; s.outstanding[gateway] <= 0 {
		delete(s.outstanding, gateway)
	}
}
