package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/utils/clock"

	cron "ebb.dev/ebb/crds/sources/schedule"
	"ebb.dev/ebb/eventing/model"
)

// Job is what is sent, where and when. It is not changed after it was handed over.
type Job struct {
	// ID names the job for its life.
	ID string
	// Expression and Zone say when, as crds/sources/schedule reads them.
	Expression, Zone string
	// Event is sent with an id and a time of its own each time.
	Event event.Event
	// Sink is where it is sent, As who sends.
	Sink model.Destination
	As   model.Account
}

// Send sends an event of a job and returns once its sink has accepted it.
type Send func(ctx context.Context, job Job, e event.Event) error

const (
	// firstRetry doubles with each attempt up to lastRetry.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Runner runs jobs.
type Runner struct {
	send  Send
	clock clock.WithTicker
	log   *slog.Logger

	mu     sync.Mutex
	jobs   map[string]*running
	group  sync.WaitGroup
	ctx    context.Context
	closed bool
}

type running struct {
	job  Job
	stop context.CancelFunc
}

// NewRunner makes a runner whose jobs end with the context.
func NewRunner(ctx context.Context, send Send, c clock.WithTicker, log *slog.Logger) *Runner {
	return &Runner{send: send, clock: c, log: log, jobs: map[string]*running{}, ctx: ctx}
}

// Set starts a job, or changes it. A job that is the same goes on undisturbed.
func (r *Runner) Set(job Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.jobs[job.ID]; ok {
		if same(old.job, job) {
			return
		}
		old.stop()
	}
	if r.closed {
		return
	}
	ctx, stop := context.WithCancel(r.ctx)
	r.jobs[job.ID] = &running{job: job, stop: stop}
	r.group.Go(func() { r.run(ctx, job) })
}

func same(a, b Job) bool {
	return a.Expression == b.Expression && a.Zone == b.Zone && a.Sink == b.Sink && a.As == b.As && a.Event.String() == b.Event.String()
}

// Remove ends a job.
func (r *Runner) Remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.jobs[id]; ok {
		old.stop()
		delete(r.jobs, id)
	}
}

// Close ends all jobs and returns when they have ended.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	for id, job := range r.jobs {
		job.stop()
		delete(r.jobs, id)
	}
	r.mu.Unlock()
	r.group.Wait()
}

func (r *Runner) run(ctx context.Context, job Job) {
	times, err := cron.Parse(job.Expression, job.Zone)
	if err != nil {
		r.log.Error("schedule cannot be read", "job", job.ID, "expression", job.Expression, "zone", job.Zone, "error", err)
		return
	}
	for at := r.clock.Now(); ; {
		next, err := times.Next(at)
		if err != nil {
			r.log.Error("schedule has no next time", "job", job.ID, "error", err)
			return
		}
		timer := r.clock.NewTimer(next.Sub(r.clock.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
		r.fire(ctx, job, times, next)
		// What became due while this one was being sent is left out, as a cron daemon does.
		if at = r.clock.Now(); at.Before(next) {
			at = next
		}
	}
}

// fire sends the event of one time until it is accepted or the next one is due.
func (r *Runner) fire(ctx context.Context, job Job, times *cron.Schedule, due time.Time) {
	e := job.Event.Clone()
	e.SetID(fmt.Sprintf("%s-%d", job.ID, due.Unix()))
	e.SetTime(due.UTC())
	until, err := times.Next(due)
	if err != nil {
		until = due.Add(time.Minute)
	}
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		err := r.send(ctx, job, e)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !r.clock.Now().Add(delay).Before(until) {
			r.log.Error("scheduled event not sent: the next one is due", "job", job.ID, "sink", job.Sink.URL, "due", due, "error", err)
			return
		}
		r.log.Warn("scheduled event not accepted yet", "job", job.ID, "sink", job.Sink.URL, "due", due, "again", delay, "error", err)
		timer := r.clock.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
	}
}
