package signal

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/crds/autoscaling"
)

// sweepInterval is how often the Store looks for what nobody speaks of any more.
const sweepInterval = time.Minute

// Revision is the namespace and name of a revision.
type Revision = types.NamespacedName

// DefaultTTL is how long the last word of a source counts: ten reports.
const DefaultTTL = 2 * time.Second

// defaultWindow is the stable window of revisions that nobody has asked about yet.
const defaultWindow = time.Minute

// Sample is what a replica proxy reports of one revision, over all the replicas that it serves.
type Sample struct {
	Revision Revision
	// Inflight is requests now: upstream_rq_active + upstream_rq_pending_active.
	Inflight float64
	// Requests is requests begun since the last report: the increment of upstream_rq_total.
	Requests float64
	// Finished is how long the requests took that ended since the last report, in seconds, all together: the increment of
	// the sum of upstream_rq_time.
	Finished float64
	// NoTimes is true where Finished is not known.
	NoTimes bool
}

// Spec is how a revision's window is measured.
type Spec struct {
	Stable    time.Duration
	Panic     time.Duration
	Algorithm string
	// Rate measures requests per second and not concurrency.
	Rate bool
}

// SpecOf is the Spec that a policy asks for.
func SpecOf(p autoscaling.Policy) Spec {
	return Spec{Stable: p.StableWindow, Panic: p.PanicWindow, Algorithm: p.Algorithm, Rate: p.Metric == autoscaling.RPS}
}

// Store keeps the measurements of all revisions. It is safe for concurrent use.
// A revision that nobody reports, holds or asks about takes no room.
type Store struct {
	ttl time.Duration
	// base fixes the timeline: a step of the wall clock must not tear a window apart.
	base    time.Time
	scratch sync.Pool

	swept atomic.Int64 // nanoseconds after base

	mu      sync.RWMutex
	series  map[Revision]*series
	sources map[string]*source
}

// source is what one source has spoken of.
type source struct {
	mu sync.Mutex
	// reports counts the reports of a source that names all it speaks of in each; named holds the last one that named each revision.
	reports uint64
	named   map[Revision]uint64
	// held is what a hold has waiting.
	held  map[Revision]int
	spoke time.Time
}

// New returns an empty Store that counts a source's last word for ttl; 0 is DefaultTTL.
// start is a time at or before all others, from the same clock.
func New(start time.Time, ttl time.Duration) *Store {
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	return &Store{
		ttl: ttl, base: start, series: map[Revision]*series{}, sources: map[string]*source{},
		scratch: sync.Pool{New: func() any { return new([]decide.Bucket) }},
	}
}

// timeline puts t on the Store's own timeline, which follows the monotonic clock where there is one.
func (s *Store) timeline(t time.Time) time.Time { return s.base.Add(t.Sub(s.base)) }

// Report takes one report of a replica proxy. It must name every revision that the proxy serves, if only with zeros: one that
// it does not name has no replica there any more.
func (s *Store) Report(name string, at time.Time, samples []Sample) {
	at = s.timeline(at)
	src := s.source(name)
	src.mu.Lock()
	defer src.mu.Unlock()
	src.spoke = at
	src.reports++
	for _, sample := range samples {
		src.named[sample.Revision] = src.reports
		s.update(sample.Revision, at, func(series *series) { series.report(name, at, sample, s.ttl) })
	}
	s.endUnnamed(name, src, at)
	s.sweep(at)
}

// endUnnamed ends what a source spoke of before and has not named in its last report. src.mu is held.
func (s *Store) endUnnamed(name string, src *source, at time.Time) {
	for revision, report := range src.named {
		if report != src.reports {
			s.end(name, revision, at)
			delete(src.named, revision)
		}
	}
}

// Held takes the number of requests that a hold has waiting for a revision now. It is repeated at least every half TTL while
// it is not 0, by itself or by Touch.
func (s *Store) Held(hold string, at time.Time, revision Revision, n int) {
	at = s.timeline(at)
	src := s.source(hold)
	src.mu.Lock()
	defer src.mu.Unlock()
	src.spoke = at
	if n > 0 {
		src.held[revision] = n
	} else {
		delete(src.held, revision)
		if s.get(revision) == nil {
			return
		}
	}
	s.update(revision, at, func(series *series) { series.setHeld(hold, at, float64(n), s.ttl) })
}

// Backlogs takes what a broker has waiting for revisions now, all of it: what it does not name has nothing. It is repeated at least every half
// TTL while there is any.
func (s *Store) Backlogs(name string, at time.Time, backlogs map[Revision]decide.Backlog) {
	at = s.timeline(at)
	src := s.source(name)
	src.mu.Lock()
	defer src.mu.Unlock()
	src.spoke = at
	src.reports++
	for revision, b := range backlogs {
		src.named[revision] = src.reports
		s.update(revision, at, func(series *series) { series.setBacklog(name, at, b, s.ttl) })
	}
	s.endUnnamed(name, src, at)
}

// Touch repeats all that a hold has said last.
func (s *Store) Touch(hold string, at time.Time) {
	at = s.timeline(at)
	src := s.source(hold)
	src.mu.Lock()
	defer src.mu.Unlock()
	src.spoke = at
	for revision, n := range src.held {
		s.update(revision, at, func(series *series) { series.setHeld(hold, at, float64(n), s.ttl) })
	}
}

// Drop forgets a source that is gone for good, as after its replica was retired. What only fell silent ages out by itself.
func (s *Store) Drop(name string, at time.Time) {
	at = s.timeline(at)
	s.mu.Lock()
	src := s.sources[name]
	delete(s.sources, name)
	s.mu.Unlock()
	if src == nil {
		return
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	for revision := range src.named {
		s.end(name, revision, at)
	}
	for revision := range src.held {
		s.end(name, revision, at)
	}
}

// Window measures a revision at a time. The zero Window says that nothing is known.
func (s *Store) Window(revision Revision, spec Spec, now time.Time) decide.Window {
	now = s.timeline(now)
	series := s.get(revision)
	if series == nil {
		return decide.Window{}
	}
	scratch := s.scratch.Get().(*[]decide.Bucket)
	defer s.scratch.Put(scratch)
	series.mu.Lock()
	defer series.mu.Unlock()
	var w decide.Window
	w, *scratch = series.window(spec, now, s.ttl, *scratch)
	return w
}

// Rest frees the room of a revision that sleeps, unless a source still speaks of it.
func (s *Store) Rest(revision Revision, now time.Time) {
	now = s.timeline(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if series := s.series[revision]; series != nil && series.retire(now, s.ttl, 0) {
		delete(s.series, revision)
	}
}

// sweep frees, now and then, what nobody has spoken of for a window, and sources that say nothing any more.
func (s *Store) sweep(now time.Time) {
	last, elapsed := s.swept.Load(), now.Sub(s.base)
	if elapsed-time.Duration(last) < sweepInterval || !s.swept.CompareAndSwap(last, int64(elapsed)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for revision, series := range s.series {
		if series.retire(now, s.ttl, series.span()) {
			delete(s.series, revision)
		}
	}
	for name, src := range s.sources {
		if !src.mu.TryLock() {
			continue // it is speaking
		}
		if now.Sub(src.spoke) > sweepInterval {
			delete(s.sources, name)
		}
		src.mu.Unlock()
	}
}

// Len is the number of revisions that take room.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.series)
}

func (s *Store) source(name string) *source {
	s.mu.RLock()
	src := s.sources[name]
	s.mu.RUnlock()
	if src != nil {
		return src
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if src = s.sources[name]; src == nil {
		src = &source{named: map[Revision]uint64{}, held: map[Revision]int{}}
		s.sources[name] = src
	}
	return src
}

func (s *Store) get(revision Revision) *series {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.series[revision]
}

// update changes a revision's series, which it makes if there is none.
func (s *Store) update(revision Revision, at time.Time, change func(*series)) {
	for {
		found := s.get(revision)
		if found == nil {
			found = s.make(revision, at)
		}
		found.mu.Lock()
		if !found.retired {
			change(found)
			found.mu.Unlock()
			return
		}
		found.mu.Unlock() // it was freed between the two locks: make another
	}
}

func (s *Store) make(revision Revision, at time.Time) *series {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.series[revision]
	if found == nil {
		found = newSeries(defaultWindow, at)
		s.series[revision] = found
	}
	return found
}

// end counts a source's last word about a revision up to at and removes it.
func (s *Store) end(name string, revision Revision, at time.Time) {
	series := s.get(revision)
	if series == nil {
		return
	}
	series.mu.Lock()
	defer series.mu.Unlock()
	series.hear(at, s.ttl)
	if f := series.feeds[name]; f != nil {
		until := at
		if last := f.at.Add(s.ttl); until.After(last) {
			until = last
		}
		series.end(name, until)
	}
}
