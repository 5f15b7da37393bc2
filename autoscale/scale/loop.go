package scale

import (
	"context"
	"time"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/signal"
)

// Run decides and acts until ctx is cancelled, and returns when what was under way has ended.
func (e *Engine) Run(ctx context.Context) error {
	e.ups.start(ctx)
	e.downs.start(ctx)
	statuses := make(chan struct{})
	go func() {
		defer close(statuses)
		e.report(ctx)
	}()
	e.loop(ctx)
	e.ups.wait()
	e.downs.wait()
	<-statuses
	return nil
}

func (e *Engine) loop(ctx context.Context) {
	for ctx.Err() == nil {
		if l := e.take(e.clock.Now()); l.entry != nil {
			e.look(ctx, l)
			continue
		}
		e.sleep(ctx)
	}
}

// due is an entry to look at, and why.
type due struct {
	entry *entry
	cause Cause
	since time.Time
}

// sleep waits until something is poked or due.
func (e *Engine) sleep(ctx context.Context) {
	e.mu.Lock()
	due, scheduled := e.schedule.next()
	e.mu.Unlock()
	if !scheduled {
		select {
		case <-ctx.Done():
		case <-e.wake:
		}
		return
	}
	timer := e.clock.NewTimer(due.Sub(e.clock.Now()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-e.wake:
	case <-timer.C():
	}
}

// enqueue has an entry looked at as soon as possible.
func (e *Engine) enqueue(en *entry, cause Cause, now time.Time) {
	en.note(cause, now)
	if en.queued {
		return
	}
	en.queued = true
	e.queue = append(e.queue, en)
	e.rouse()
}

// scheduleBy has an entry looked at no later than at.
func (e *Engine) scheduleBy(en *entry, at time.Time) {
	if en.index >= 0 && !en.due.After(at) {
		return
	}
	e.schedule.set(en, at)
	e.rouse()
}

// rouse ends the loop's sleep. A wake-up that is pending already will do.
func (e *Engine) rouse() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// take returns what to look at now: whoever was poked before whoever is due. There is no entry if there is nothing.
func (e *Engine) take(now time.Time) due {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.queue) > 0 {
		en := e.queue[0]
		e.queue[0] = nil
		e.queue = e.queue[1:]
		en.queued = false
		if e.entries[en.revision] == en {
			return en.dueNow()
		}
	}
	e.queue = nil
	en := e.schedule.take(now)
	if en == nil {
		return due{}
	}
	en.note(CauseTick, en.due)
	return en.dueNow()
}

// dueNow takes the cause out of the entry: what is noted from now on is for the look after this one.
func (en *entry) dueNow() due {
	d := due{entry: en, cause: en.cause, since: en.since}
	en.cause = ""
	return d
}

// look decides about one revision and sets about what was decided.
func (e *Engine) look(ctx context.Context, l due) {
	en := l.entry
	counts := e.config.Replicas.Replicas(en.revision)
	now := e.clock.Now()
	in, spec := e.input(en, counts, now)
	in.Window = e.config.Demand.Window(en.revision, spec, now)
	decision, state := decide.Decide(in)

	e.mu.Lock()
	if e.entries[en.revision] != en {
		e.mu.Unlock()
		return
	}
	e.metrics.decided(l.cause, now.Sub(l.since), in.Replicas.Wanted == 0 && decision.Apply && decision.Desired > 0)
	en.input, en.decision, en.state, en.counts = in, decision, state, counts
	en.decidedAt = now
	en.decisions++
	if l.cause == CauseHeld {
		en.pokedAt = now
	}
	stirs := decision.Desired > 0 && en.holding && in.Replicas.Wanted > 0
	if decision.Desired > 0 {
		en.holding = false
	}
	next := decision.Next
	if en.failed != "" && now.Before(en.retryAt) && (next.IsZero() || en.retryAt.Before(next)) {
		next = en.retryAt
	}
	e.schedule.set(en, next)
	e.act(ctx, en, now)
	e.publish(en)
	asleep := next.IsZero() && en.effect == nil
	e.mu.Unlock()

	if stirs {
		e.config.Sleeper.EndSleep(en.revision)
	}
	if asleep {
		e.config.Demand.Rest(en.revision, now)
	}
	if e.config.OnDecision != nil {
		e.config.OnDecision(en.revision, decision)
	}
}

// input gathers what a decision depends on but for the window, and how that is measured.
func (e *Engine) input(en *entry, counts Counts, now time.Time) (decide.Input, signal.Spec) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return decide.Input{
		Revision: en.revision.String(), Now: now, Policy: en.policy, Reachable: en.spec.Reachable, Holding: en.holding,
		Replicas: decide.Replicas{Ready: counts.Ready, Wanted: en.wanted(counts, now)},
		Options:  e.config.Options, State: en.state,
	}, signal.SpecOf(en.policy)
}

// wanted is what the scale target was last asked for: by the cache, unless the engine has asked since.
func (en *entry) wanted(counts Counts, now time.Time) int32 {
	if !en.appliedAt.IsZero() && now.Sub(en.appliedAt) < settle {
		return en.applied
	}
	return counts.Wanted
}

// retryDelay doubles from backoffMin to backoffMax.
func retryDelay(failures int) time.Duration {
	return min(backoffMax, backoffMin<<min(failures-1, 10))
}
