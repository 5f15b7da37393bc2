package simulate

import (
	"container/heap"
	"time"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/signal"
)

// epoch is when simulated time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var revision = signal.Revision{Namespace: "default", Name: "simulated"}

const (
	proxy = "proxy"
	hold  = "hold"
	// pokeInterval is as in the engine.
	pokeInterval = 2 * time.Millisecond
)

// event is something that happens at a time; those of the same time happen in the order in which they were foreseen.
type event struct {
	at     time.Duration
	order  int
	happen func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// simulation is the world while it runs.
type simulation struct {
	settings Settings
	workload *workload
	store    *signal.Store
	now      time.Duration
	events   events
	order    int
	end      time.Duration // of the trace

	// Replicas and requests.
	replicas []*replica
	starting []*replica
	queue    []Arrival
	held     int     // what the hold last said
	begun    float64 // requests that reached a replica since the last report
	finished float64 // seconds of those that ended since

	// The autoscaler.
	state     decide.State
	wanted    int32
	holding   bool
	patching  bool
	preparing bool
	again     bool
	looking   int // numbers the next look; an older one is void
	poked     time.Duration
	pokeDue   bool

	record recorder
}

// replica takes requests until it drains.
type replica struct {
	busy     int
	draining bool
	void     bool // was given up while it started
}

// Run replays a trace.
func Run(t Trace, s Settings) (Result, error) {
	if err := s.check(); err != nil {
		return Result{}, err
	}
	w, err := newWorkload(t, s)
	if err != nil {
		return Result{}, err
	}
	m := &simulation{
		settings: s, workload: w, store: signal.New(epoch, 0), end: t.End(), wanted: s.Replicas, poked: -time.Hour,
		record: recorder{step: s.step(t.End() + s.Tail)},
	}
	was := decide.State{Phase: decide.Inactive, Initialized: true}
	if s.Replicas > 0 {
		was.Phase = decide.Active
	}
	m.state = decide.Begin(s.Policy, s.Replicas, was, epoch)
	m.state.PhaseSince = epoch.Add(-time.Hour) // it has run, or slept, for long
	for range s.Replicas {
		m.replicas = append(m.replicas, &replica{})
	}
	m.arrive()
	m.report()
	m.look()
	m.play()
	return m.record.result(m), nil
}

// play lets events happen until the trace and its tail are over, or nothing is left to happen.
func (m *simulation) play() {
	for len(m.events) > 0 {
		e := heap.Pop(&m.events).(event)
		if e.at > m.end && (e.at > m.end+m.settings.Tail || m.quiet()) {
			break
		}
		m.record.advance(m, e.at)
		m.now = e.at
		e.happen()
	}
}

// quiet reports whether nothing runs and nothing waits.
func (m *simulation) quiet() bool {
	return len(m.replicas) == 0 && len(m.starting) == 0 && len(m.queue) == 0 && !m.patching
}

func (m *simulation) after(d time.Duration, happen func()) {
	m.order++
	heap.Push(&m.events, event{at: m.now + d, order: m.order, happen: happen})
}

func (m *simulation) time() time.Time { return epoch.Add(m.now) }

// arrive foresees the next request.
func (m *simulation) arrive() {
	a, ok := m.workload.next()
	if !ok {
		return
	}
	m.after(a.At-m.now, func() {
		m.record.arrived(m, a)
		m.queue = append(m.queue, a)
		m.dispatch()
		m.arrive()
	})
}

// dispatch hands waiting requests to free replicas, and tells the autoscaler of those that still wait.
func (m *simulation) dispatch() {
	for len(m.queue) > 0 {
		r := m.freest()
		if r == nil {
			break
		}
		a := m.queue[0]
		m.queue = m.queue[1:]
		m.serve(r, a)
	}
	m.record.summary.MaxWaiting = max(m.record.summary.MaxWaiting, len(m.queue))
	held := 0
	if m.heldNow() {
		held = len(m.queue)
	}
	if held == m.held {
		return
	}
	m.held = held
	m.store.Held(hold, m.time(), revision, held)
	if held > 0 {
		m.poke()
	}
}

// heldNow says where waiting requests wait: at the hold, or in the replicas' own queues, which only the gauge sees.
func (m *simulation) heldNow() bool {
	return len(m.queue) > 0 && (len(m.replicas) == 0 || m.settings.Policy.TargetBurstCapacity != 0)
}

// freest returns the replica with the fewest requests that can take one more.
func (m *simulation) freest() *replica {
	var best *replica
	limit := int(m.settings.Policy.ContainerConcurrency)
	for _, r := range m.replicas {
		if !r.draining && (limit == 0 || r.busy < limit) && (best == nil || r.busy < best.busy) {
			best = r
		}
	}
	return best
}

func (m *simulation) serve(r *replica, a Arrival) {
	r.busy++
	m.begun++
	m.record.served(m.now - a.At)
	m.after(a.Duration, func() {
		r.busy--
		m.finished += a.Duration.Seconds()
		if r.draining && r.busy == 0 {
			m.drop(r)
		}
		m.dispatch()
	})
}

// report is the feed: what the proxies of all replicas say.
func (m *simulation) report() {
	if len(m.replicas) > 0 {
		inflight := m.busy()
		if !m.heldNow() {
			inflight += len(m.queue)
		}
		m.store.Report(proxy, m.time(), []signal.Sample{{
			Revision: revision, Inflight: float64(inflight), Requests: m.begun, Finished: m.finished,
		}})
		m.begun, m.finished = 0, 0
	}
	m.store.Touch(hold, m.time())
	m.after(m.settings.Feed, m.report)
}

func (m *simulation) busy() (n int) {
	for _, r := range m.replicas {
		n += r.busy
	}
	return n
}

// ready is the replicas that take requests.
func (m *simulation) ready() (n int32) {
	for _, r := range m.replicas {
		if !r.draining {
			n++
		}
	}
	return n
}

// scaleTo is what the scale patch brings about.
func (m *simulation) scaleTo(n int32) {
	for m.exist() < n {
		r := &replica{}
		m.starting = append(m.starting, r)
		m.after(m.settings.PodStart, func() { m.started(r) })
	}
	for m.exist() > n {
		m.takeAway()
	}
	m.dispatch()
}

// exist is the replicas that are there to stay.
func (m *simulation) exist() int32 { return int32(len(m.starting)) + m.ready() }

func (m *simulation) started(r *replica) {
	if r.void {
		return
	}
	m.starting = remove(m.starting, r)
	m.replicas = append(m.replicas, r)
	m.dispatch()
	m.look()
}

// takeAway gives up the replica that costs least: one that still starts, or the one with the fewest requests.
func (m *simulation) takeAway() {
	if n := len(m.starting); n > 0 {
		r := m.starting[n-1]
		r.void = true
		m.starting = m.starting[:n-1]
		return
	}
	var victim *replica
	for _, r := range m.replicas {
		if !r.draining && (victim == nil || r.busy < victim.busy) {
			victim = r
		}
	}
	victim.draining = true
	if victim.busy == 0 {
		m.drop(victim)
	}
}

func (m *simulation) drop(r *replica) {
	m.replicas = remove(m.replicas, r)
	if len(m.replicas) == 0 {
		m.store.Drop(proxy, m.time())
	}
}

func remove(from []*replica, r *replica) []*replica {
	for i := range from {
		if from[i] == r {
			return append(from[:i:i], from[i+1:]...)
		}
	}
	return from
}

// poke has the autoscaler look at once, or soon after it did for another request.
func (m *simulation) poke() {
	switch wait := m.poked + pokeInterval - m.now; {
	case m.patching:
		m.again = true
	case wait <= 0:
		m.poked = m.now
		m.look()
	case !m.pokeDue:
		m.pokeDue = true
		m.after(wait, func() {
			m.pokeDue, m.poked = false, m.now
			m.look()
		})
	}
}

// look is one decision and what follows from it.
func (m *simulation) look() {
	d, s := decide.Decide(decide.Input{
		Now: m.time(), Window: m.store.Window(revision, signal.SpecOf(m.settings.Policy), m.time()), Policy: m.settings.Policy,
		Replicas: decide.Replicas{Ready: m.ready(), Wanted: m.wanted}, Reachable: true, Holding: m.holding,
		Options: m.settings.Options, State: m.state,
	})
	m.state = s
	m.record.decided(d)
	if d.Desired > 0 {
		m.holding = false
	}
	m.looking++
	if !d.Next.IsZero() {
		number := m.looking
		m.after(d.Next.Sub(m.time()), func() {
			if number == m.looking {
				m.look()
			}
		})
	}
	switch {
	case d.Apply && d.Desired != m.wanted:
		m.patch(d.Desired)
	case d.PrepareSleep && !m.preparing:
		m.preparing = true
		m.after(m.settings.Confirm, func() {
			m.preparing, m.holding = false, m.state.Phase == decide.Inactive
			m.look()
		})
	}
}

// patch asks for n replicas. While one patch is under way the next is decided on when it is through.
func (m *simulation) patch(n int32) {
	if m.patching {
		m.again = true
		return
	}
	m.patching = true
	m.after(m.settings.Patch, func() {
		m.patching = false
		m.record.scaled(m.wanted, n)
		m.wanted = n
		m.scaleTo(n)
		if m.again {
			m.again = false
			m.look()
		}
	})
}
