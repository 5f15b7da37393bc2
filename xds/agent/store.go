package agent

import (
	"sync"

	"ebb.dev/ebb/xds/envoy"
)

// store holds the secrets by SDS name and tells who waits for them.
type store struct {
	mu    sync.Mutex
	svids map[string]*SVID
	trust [][]byte
	// wanted counts the SDS streams that ask for a name; a workload's secret that nobody asks for is dropped.
	wanted map[string]int
	// kept names those that somebody renews already.
	kept    map[string]bool
	changed chan struct{}
}

func newStore() *store {
	return &store{svids: map[string]*SVID{}, wanted: map[string]int{}, kept: map[string]bool{}, changed: make(chan struct{})}
}

func (s *store) self() *SVID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.svids[envoy.SelfSecret]
}

func (s *store) put(name string, svid *SVID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.svids[name] = svid
	s.signal()
}

func (s *store) putTrust(roots [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trust = roots
	s.signal()
}

func (s *store) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// want counts a stream's interest in a name and reports whether it is the first.
func (s *store) want(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted[name]++
	return s.wanted[name] == 1
}

func (s *store) unwant(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted[name]--; s.wanted[name] > 0 {
		return
	}
	delete(s.wanted, name)
	if name != envoy.SelfSecret {
		delete(s.svids, name)
	}
}

// keep claims the renewal of a name; it reports false when somebody has it.
func (s *store) keep(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[name] {
		return false
	}
	s.kept[name] = true
	return true
}

// stillWanted reports whether a name needs renewal; when it does not, the claim ends with the same breath, so that the
// next who wants it begins anew.
func (s *store) stillWanted(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == envoy.SelfSecret || s.wanted[name] > 0 {
		return true
	}
	delete(s.kept, name)
	return false
}

// look returns a name's secret, the roots and a channel that is closed at the next change.
func (s *store) look(name string) (*SVID, [][]byte, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.svids[name], s.trust, s.changed
}
