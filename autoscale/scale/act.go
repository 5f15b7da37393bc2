package scale

import (
	"context"
	"fmt"
	"time"
)

// kind is what an effect does.
type kind string

const (
	up    kind = "up"
	down  kind = "down"
	sleep kind = "sleep"
)

// effect is one thing under way for a revision.
type effect struct {
	kind     kind
	from, to int32
	begun    time.Time
	ctx      context.Context
	cancel   context.CancelFunc
}

// act sets about what was decided, unless that is under way already. It runs under the engine's lock.
func (e *Engine) act(ctx context.Context, en *entry, now time.Time) {
	wanted := en.input.Replicas.Wanted
	next := &effect{from: wanted, to: en.decision.Desired, begun: now}
	switch d := en.decision; {
	case d.Apply && d.Desired > wanted:
		next.kind = up
	case d.Apply && d.Desired < wanted:
		next.kind = down
	case d.PrepareSleep:
		next.kind, next.to = sleep, 0
	default:
		next = nil
	}
	if running := en.effect; running != nil {
		e.reconsider(en, running, next)
		return
	}
	if next == nil || next.kind == en.failed && now.Before(en.retryAt) {
		return
	}
	if _, still := e.orphans[en.revision]; still {
		en.again = true // the effect of an entry that was removed has not ended yet
		return
	}
	next.ctx, next.cancel = context.WithCancel(ctx)
	en.effect = next
	workers := e.downs
	if next.kind == up {
		workers = e.ups
	}
	workers.submit(func() { e.carryOut(en, next) })
}

// reconsider leaves what runs alone if it is what is wanted, and cuts it short if it would take away what is needed now.
func (e *Engine) reconsider(en *entry, running, next *effect) {
	if next != nil && next.kind == running.kind && next.to == running.to {
		return
	}
	en.again = true
	tooLow := running.kind != up && en.decision.Desired > running.to
	if tooLow {
		running.cancel()
	}
}

// carryOut runs an effect and looks again where that may make a difference.
func (e *Engine) carryOut(en *entry, f *effect) {
	defer f.cancel()
	started := e.clock.Now()
	holding, err := e.bring(f, en.revision)
	now := e.clock.Now()
	cancelled := f.ctx.Err() != nil

	e.mu.Lock()
	reason := en.decision.Reason
	e.metrics.effect(f.kind, started.Sub(f.begun), now.Sub(started), err, cancelled)
	if current := e.entries[en.revision]; current == en {
		e.settle(en, f, holding, err, cancelled, now)
	} else {
		delete(e.orphans, en.revision)
		if current != nil && current.again {
			current.again = false
			e.enqueue(current, CauseEffect, now)
		}
	}
	e.mu.Unlock()

	attrs := []any{"revision", en.revision.String(), "effect", string(f.kind), "from", f.from, "to", f.to, "took", now.Sub(f.begun)}
	switch {
	case cancelled:
	case err != nil:
		e.log.Error("scaling failed, will be tried again", append(attrs, "err", err)...)
	case f.kind != sleep:
		e.log.Info("revision scaled", append(attrs, "reason", string(reason))...)
	}
}

// settle takes in how an effect ended. It runs under the engine's lock.
func (e *Engine) settle(en *entry, f *effect, holding bool, err error, cancelled bool, now time.Time) {
	again := en.again
	en.effect, en.again = nil, false
	switch {
	case cancelled:
		// What came of it is for the cache to say; what cancelled it is decided again.
		en.appliedAt = time.Time{}
		again = true
	case err != nil:
		en.appliedAt = time.Time{}
		en.backOff(f.kind, now)
	case f.kind == sleep && !holding:
		// Demand came back, though it is not measured yet.
		en.backOff(f.kind, now)
	case f.kind == sleep:
		en.holding = true
		en.failures, en.failed = 0, ""
		again = true
	default:
		en.applied, en.appliedAt = f.to, now
		en.failures, en.failed = 0, ""
	}
	if again {
		e.enqueue(en, CauseEffect, now)
	} else if en.failed != "" {
		e.scheduleBy(en, en.retryAt)
	}
}

func (en *entry) backOff(failed kind, now time.Time) {
	en.failures++
	en.failed, en.retryAt = failed, now.Add(retryDelay(en.failures))
}

// bring calls whoever does it. holding is of meaning for sleep only.
func (e *Engine) bring(f *effect, revision Revision) (holding bool, err error) {
	if err := f.ctx.Err(); err != nil {
		return false, err // cut short before it began
	}
	switch f.kind {
	case up:
		err = e.config.Scaler.SetReplicas(f.ctx, revision, f.to)
	case down:
		err = e.config.Downscaler.ScaleDown(f.ctx, revision, f.from, f.to)
	case sleep:
		holding, err = e.config.Sleeper.PrepareSleep(f.ctx, revision)
	}
	if err != nil {
		err = fmt.Errorf("scale %s %s from %d to %d: %w", revision, f.kind, f.from, f.to, err)
	}
	return holding, err
}
