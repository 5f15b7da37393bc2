package phases

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Phase is a step of a cold start; its time is when it was done, of the first replica that did it.
type Phase int

// The phases, in the order in which they mostly come. The app may answer before its proxy serves it, or after.
const (
	// Held: the first request waits.
	Held Phase = iota
	// Decided: the autoscaler wants a replica.
	Decided
	// Scaled: the API server has accepted the scale patch.
	Scaled
	// Created: the pod is known here.
	Created
	// Addressed: the pod's address is known here.
	Addressed
	// Started: the node has said that the pod's containers run.
	Started
	// Programmed: the replica's proxy accepts connections for it.
	Programmed
	// Answering: the app answers its probe.
	Answering
	// Ready: the replica takes requests.
	Ready
	// Pushed: its endpoint is on the way to the gateways.
	Pushed
	// Acked: a gateway has accepted it.
	Acked
	// Released: the first held request was let go.
	Released
	count
)

var names = [count]string{
	"held", "decided", "scaled", "created", "addressed", "started", "programmed", "answering", "ready", "pushed", "acked", "released",
}

func (p Phase) String() string { return names[p] }

// Wake is one cold start.
type Wake struct {
	Revision string `json:"revision"`
	// Held is how many requests waited at most.
	Held int `json:"held"`
	// At is when the first request was held.
	At time.Time `json:"at"`
	// Phases are milliseconds after At; one that was not seen is missing.
	Phases map[string]float64 `json:"phases"`
}

// kept is how many wakes are kept to look at.
const kept = 1024

// wake is a cold start under way.
type wake struct {
	held int
	at   [count]time.Time
}

// Recorder times cold starts. A nil Recorder records nothing.
type Recorder struct {
	store    *store.Store
	now      func() time.Time
	log      *slog.Logger
	duration *prometheus.HistogramVec

	mu    sync.Mutex
	wakes map[model.Key]*wake
	done  []Wake
}

// New makes a recorder.
func New(now func() time.Time, log *slog.Logger) *Recorder {
	return &Recorder{now: now, log: log, wakes: map[model.Key]*wake{}, duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ebb_wake_phase_seconds", Help: "Time from the first held request of a cold start until each phase of it was done.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"phase"})}
}

// Collectors are the recorder's metrics.
func (r *Recorder) Collectors() []prometheus.Collector { return []prometheus.Collector{r.duration} }

// Observe reads replicas' progress off a store. Subscribe calls it before others are told of a change, and Pushed after them.
func (r *Recorder) Observe(s *store.Store) {
	if r == nil {
		return
	}
	r.store = s
	s.Subscribe(r.changed)
}

// ObservePushed is subscribed after the planner of the gateways: what it is told of is on its way to them.
func (r *Recorder) ObservePushed(s *store.Store) {
	if r == nil {
		return
	}
	s.Subscribe(func(touched *store.Touched) {
		for revision := range touched.Revisions {
			r.after(revision, Ready, Pushed)
		}
	})
}

// Demand is told how many requests are held for a revision, at each change.
func (r *Recorder) Demand(revision model.Key, held int) {
	if r == nil {
		return
	}
	r.mu.Lock()
	w, under := r.wakes[revision]
	switch {
	case !under && held > 0 && r.cold(revision):
		w = &wake{held: held}
		w.at[Held] = r.now()
		r.wakes[revision] = w
		r.progress(w, revision)
	case !under:
	case held >= w.held:
		w.held = held
	case !w.at[Acked].IsZero():
		// Fewer wait, and there is somewhere to go: the first was let go.
		w.at[Released] = r.now()
		delete(r.wakes, revision)
		r.finish(revision, w)
	case held == 0:
		// Everybody left.
		delete(r.wakes, revision)
	}
	r.mu.Unlock()
}

func (r *Recorder) cold(revision model.Key) bool {
	for _, replica := range r.store.Read().ReplicasOf(revision) {
		if replica.Ready() {
			return false
		}
	}
	return true
}

// Reached is told that a phase of a revision's cold start is done; the first time counts.
func (r *Recorder) Reached(revision model.Key, phase Phase) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, under := r.wakes[revision]; under {
		w.reach(phase, r.now())
	}
}

// after is Reached if the phase before is done.
func (r *Recorder) after(revision model.Key, before, phase Phase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, under := r.wakes[revision]; under && !w.at[before].IsZero() {
		w.reach(phase, r.now())
	}
}

func (w *wake) reach(phase Phase, now time.Time) {
	if w.at[phase].IsZero() {
		w.at[phase] = now
	}
}

func (r *Recorder) changed(touched *store.Touched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for revision := range touched.Revisions {
		if w, under := r.wakes[revision]; under {
			r.progress(w, revision)
		}
	}
}

// progress notes how far a revision's replicas are. The caller holds mu.
func (r *Recorder) progress(w *wake, revision model.Key) {
	now := r.now()
	for _, replica := range r.store.Read().ReplicasOf(revision) {
		if replica.Terminating {
			continue
		}
		for phase, done := range map[Phase]bool{
			Created: true, Addressed: replica.App.Host != "", Started: !replica.Started.IsZero(),
			Programmed: replica.Programmed && replica.Listening, Answering: replica.Answers, Ready: replica.Ready(),
		} {
			if done {
				w.reach(phase, now)
			}
		}
	}
}

// finish keeps and tells a wake. The caller holds mu.
func (r *Recorder) finish(revision model.Key, w *wake) {
	out := Wake{Revision: revision.String(), Held: w.held, At: w.at[Held], Phases: map[string]float64{}}
	attributes := []any{"revision", out.Revision, "held", w.held}
	for phase := Decided; phase < count; phase++ {
		if w.at[phase].IsZero() {
			continue
		}
		after := w.at[phase].Sub(out.At)
		r.duration.WithLabelValues(phase.String()).Observe(after.Seconds())
		out.Phases[phase.String()] = float64(after.Microseconds()) / 1000
		attributes = append(attributes, phase.String()+"_ms", out.Phases[phase.String()])
	}
	if len(r.done) == kept {
		r.done = r.done[1:]
	}
	r.done = append(r.done, out)
	r.log.Info("revision woken", attributes...)
}

// Wakes lists the last cold starts, oldest first.
func (r *Recorder) Wakes() []Wake {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Wake{}, r.done...)
}
