package agent

import (
	"sync"
	"time"

	"ebb.dev/ebb/xds/model"
)

// store holds the secrets by SDS name and tells who waits for them.
type store struct {
	mu    sync.Mutex
	svids map[string]*SVID
	trust [][]byte
	// wanted counts the SDS streams that ask for a name, and idle is since when none does.
	wanted map[string]int
	idle   map[string]time.Time
	// kept names those that somebody renews already.
	kept    map[string]bool
	changed chan struct{}
}

func newStore() *store {
	return &store{
		svids: map[string]*SVID{}, wanted: map[string]int{}, idle: map[string]time.Time{}, kept: map[string]bool{},
		changed: make(chan struct{}),
	}
}

func (s *store) self() *SVID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.svids[model.SelfSecret]
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

// want counts a stream's interest in a name.
func (s *store) want(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted[name]++
	delete(s.idle, name)
	s.signal()
}

func (s *store) unwant(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted[name]--; s.wanted[name] > 0 {
		return
	}
	delete(s.wanted, name)
	if s.kept[name] {
		s.idle[name] = time.Now()
	}
	s.signal()
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

// need is what a name's keeper acts on.
type need struct {
	// wanted says that somebody asks for it; otherwise since when nobody does.
	wanted bool
	idle   time.Time
	// have says that there is a secret.
	have    bool
	changed <-chan struct{}
}

func (s *store) need(name string) need {
	s.mu.Lock()
	defer s.mu.Unlock()
	return need{
		wanted: name == model.SelfSecret || s.wanted[name] > 0, idle: s.idle[name],
		have: s.svids[name] != nil, changed: s.changed,
	}
}

// drop ends a claim and the secret with it, unless somebody wants it again: who comes later begins anew.
func (s *store) drop(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted[name] > 0 {
		return false
	}
	delete(s.kept, name)
	delete(s.idle, name)
	delete(s.svids, name)
	return true
}

// look returns a name's secret, the roots and a channel that is closed at the next change.
func (s *store) look(name string) (*SVID, [][]byte, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.svids[name], s.trust, s.changed
}
