package kafka

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"ebb.dev/ebb/eventing/model"
)

// State is how a source fares.
type State struct {
	// Consumers is how many members of its group run.
	Consumers int
	// Err is why nothing is read at present; nil if all is well.
	Err error
}

// Runner runs sources.
type Runner struct {
	sender  Sender
	metrics *Metrics
	log     *slog.Logger

	mu      sync.Mutex
	sources map[string]*source
	closed  bool
}

// source is one place for a source; its lock is held while it changes, which may take as long as Kafka takes to answer.
type source struct {
	mu  sync.Mutex
	job Job
	run *group
	// ended says that the source is gone.
	ended bool
}

// NewRunner is a Runner without sources.
func NewRunner(sender Sender, metrics *Metrics, log *slog.Logger) *Runner {
	return &Runner{sender: sender, metrics: metrics, log: log, sources: map[string]*source{}}
}

// startWithin bounds how long Kafka may take to answer when a source is started.
const startWithin = 10 * time.Second

// Set starts a source or changes it, and says how it fares. A job that is the one at work goes on undisturbed. An error says why the source
// could not be started; the one that was there before is stopped all the same.
func (r *Runner) Set(ctx context.Context, job Job) (State, error) {
	s := r.source(job.ID)
	if s == nil {
		return State{}, context.Canceled
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return State{}, context.Canceled
	}
	if s.run != nil && reflect.DeepEqual(s.job, job) {
		return State{Consumers: len(s.run.members), Err: s.run.Err()}, nil
	}
	s.stop()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	d := &delivery{sender: r.sender, sink: job.Sink, spec: job.Delivery, as: job.As, name: job.ID, log: r.log, metrics: r.metrics}
	run, err := start(ctx, job, d, r.log)
	if err != nil {
		return State{}, err
	}
	s.job, s.run = job, run
	return State{Consumers: len(run.members)}, nil
}

func (r *Runner) source(id string) *source {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	s := r.sources[id]
	if s == nil {
		s = &source{}
		r.sources[id] = s
	}
	return s
}

func (s *source) stop() {
	if s.run != nil {
		s.run.stop()
		s.run = nil
	}
}

// end stops it for good.
func (s *source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.stop()
}

// Backlogs is what waits for sinks, source by source. A source that is being changed is left out.
func (r *Runner) Backlogs() []model.Backlog {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.sources))
	r.mu.Unlock()
	var out []model.Backlog
	for _, s := range all {
		if !s.mu.TryLock() {
			continue
		}
		if s.run != nil {
			if b := s.run.backlog(); b.Waiting > 0 {
				out = append(out, b)
			}
		}
		s.mu.Unlock()
	}
	return out
}

// Remove stops a source. Its consumer group keeps its offsets.
func (r *Runner) Remove(id string) {
	r.mu.Lock()
	s := r.sources[id]
	delete(r.sources, id)
	r.mu.Unlock()
	if s == nil {
		return
	}
	s.end()
}

// Close stops all sources for good.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	all := r.sources
	r.sources = map[string]*source{}
	r.mu.Unlock()
	var ended sync.WaitGroup
	for _, s := range all {
		ended.Go(s.end)
	}
	ended.Wait()
}
