package scale

import (
	"context"
	"time"

	"ebb.dev/ebb/autoscale/decide"
)

// reports is the statuses that are to be written.
type reports struct {
	dirty []*entry
	wake  chan struct{}
}

func newReports() reports { return reports{wake: make(chan struct{}, 1)} }

// publish notes the status of a decision for the reporter. It runs under the engine's lock.
func (e *Engine) publish(en *entry) {
	s := Status{
		Desired: en.decision.Desired, Actual: en.counts.Ready,
		Phase: en.state.Phase, PhaseReason: en.state.PhaseReason, PhaseSince: en.state.PhaseSince, Initialized: en.state.Initialized,
	}
	if s.Desired == decide.Unknown {
		switch {
		case s.Phase == decide.Inactive && en.input.Replicas.Wanted == 0:
			s.Desired = 0 // it sleeps: nobody measures what is not there
		case en.status.Phase != "":
			s.Desired = en.status.Desired // what is not known now was known before
		}
	}
	if s == en.status {
		return
	}
	en.status = s
	e.markDirty(en)
}

func (e *Engine) markDirty(en *entry) {
	if en.reporting {
		return
	}
	en.reporting = true
	e.reports.dirty = append(e.reports.dirty, en)
	select {
	case e.reports.wake <- struct{}{}:
	default:
	}
}

// report writes statuses, a batch at a time, until ctx is cancelled.
func (e *Engine) report(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.reports.wake:
		}
		timer := e.clock.NewTimer(e.config.StatusDelay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
		e.writeStatuses(ctx)
	}
}

// writeStatuses writes what has changed since it was last written.
func (e *Engine) writeStatuses(ctx context.Context) {
	e.mu.Lock()
	batch := e.reports.dirty
	e.reports.dirty = nil
	for _, en := range batch {
		en.reporting = false
	}
	e.mu.Unlock()
	for _, en := range batch {
		if ctx.Err() != nil {
			return
		}
		e.writeStatus(ctx, en)
	}
}

// wakeTime is how long the status of a revision that is being woken says that it sleeps. Most serve by then, and what starts their replicas has
// the processors to itself, which two writes and all who watch them would take from it.
const wakeTime = time.Second

// wakes reports whether a status only says that a revision has begun to wake.
func wakes(status, written Status, now time.Time) bool {
	return written.Phase == decide.Inactive && status.Phase == decide.Activating && now.Sub(status.PhaseSince) < wakeTime
}

func (e *Engine) writeStatus(ctx context.Context, en *entry) {
	e.mu.Lock()
	status := en.status
	write := e.entries[en.revision] == en && status != en.written
	if write && wakes(status, en.written, e.clock.Now()) {
		write = false
		e.markDirty(en) // with the next batch
	}
	e.mu.Unlock()
	if !write {
		return
	}
	err := e.config.Status.WriteStatus(ctx, en.revision, status)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		en.written = status
		return
	}
	if ctx.Err() == nil {
		e.log.Warn("status not written", "revision", en.revision.String(), "err", err)
		e.markDirty(en) // with the next batch
	}
}
