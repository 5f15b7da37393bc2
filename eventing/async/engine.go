package async

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/call"
	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Options say what the engine works with, and its bounds. Log, Policy, Attempt, Tell and Secret are needed.
type Options struct {
	Log log.Log
	// Policy is that of a Service; ErrUnknown if there is no such Service.
	Policy func(ctx context.Context, service model.Key) (async.Policy, error)
	// Attempt carries a request to its Service.
	Attempt func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message)
	// Tell sends a notice once.
	Tell func(ctx context.Context, n call.Notice) (gone bool, err error)
	// Secret is the key by which notices for a namespace's Services are signed.
	Secret func(ctx context.Context, namespace string) ([]byte, error)
	// Running is how many attempts are under way at once, 5,000 by default; Open how many requests have not ended, 200,000 by default.
	Running, Open int
	// Kept is how many ended requests are kept, 200,000 by default; past it those go first that would be forgotten first.
	Kept int
	// Bytes bounds what is stored of all requests and answers; 1 GiB by default.
	Bytes   int64
	Metrics prometheus.Registerer
	Logger  *slog.Logger
	Now     func() time.Time
	// Random is in [0, 1).
	Random func() float64
}

func (o Options) withDefaults() Options {
	o.Running, o.Open, o.Kept = cmp.Or(o.Running, 5000), cmp.Or(o.Open, 200_000), cmp.Or(o.Kept, 200_000)
	o.Bytes = cmp.Or(o.Bytes, 1<<30)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

// Why a request is not accepted, or nothing can be said of it.
var (
	// ErrUnknown: there is no such request or Service, or not any more.
	ErrUnknown = journal.ErrUnknown
	// ErrFull: as much waits as may.
	ErrFull = errors.New("too many requests wait")
	// ErrMismatch: another request had the same Idempotency-Key.
	ErrMismatch = errors.New("another request has this Idempotency-Key")
)

// Engine has the requests. Its methods may be called at the same time.
type Engine struct {
	options Options
	journal *journal.Journal
	metrics *metrics

	mu sync.Mutex
	// ctx ends attempts; nil until Run.
	ctx      context.Context
	closing  chan struct{}
	work     sync.WaitGroup
	entries  map[string]*entry
	keys     map[idempotency]*entry
	services map[model.Key]*service
	notices  *lane
	// running counts attempts, open the requests that have not ended. starved are lanes that wait for an attempt of another to end.
	running, open int
	starved       map[*lane]struct{}
	expiries      expiries
	kept          int
	order         uint64
}

type idempotency struct {
	service model.Key
	key     string
}

// service is what is known of one Service.
type service struct {
	lane *lane
	open int
}

// entry is one request.
type entry struct {
	// stepping is held while its next record is made and stored.
	stepping sync.Mutex
	// The engine's lock guards the rest.
	record request.Record
	// stored is closed when it is known whether a new request was stored.
	stored chan struct{}
	// ended is closed when the request has ended; nil until somebody waits.
	ended chan struct{}
	// job is its place in its Service's lane, notice the one among notices.
	job, notice *job
	// cancel ends the attempt that is under way.
	cancel context.CancelFunc
}

// Open finds the requests that are stored. None is called before Run.
func Open(ctx context.Context, o Options) (*Engine, error) {
	o = o.withDefaults()
	e := &Engine{
		options: o, metrics: newMetrics(o.Metrics), closing: make(chan struct{}), entries: map[string]*entry{}, keys: map[idempotency]*entry{},
		services: map[model.Key]*service{}, starved: map[*lane]struct{}{},
	}
	e.notices = &lane{begin: e.beginNotice, window: window{most: 64, now: 64}}
	now := o.Now()
	var expired []string
	j, err := journal.Open(ctx, journal.Options{Log: o.Log, Bytes: o.Bytes, Logger: o.Logger}, func(r request.Record) {
		if r.Expired(now) {
			expired = append(expired, r.ID)
			return
		}
		e.found(r.Interrupted(now))
	})
	if err != nil {
		return nil, err
	}
	e.journal = j
	for _, id := range expired {
		j.Forget(id)
	}
	o.Logger.Info("requests found that are answered later", "open", e.open, "ended", e.kept)
	return e, nil
}

// found takes in a stored request.
func (e *Engine) found(r request.Record) {
	en := &entry{record: r}
	e.entries[r.ID] = en
	if r.Key != "" {
		e.keys[idempotency{r.Service, r.Key}] = en
	}
	if r.State.Final() {
		e.keep(en)
		e.scheduleNotices(en)
		return
	}
	e.count(r.Service, 1)
	e.enqueueAttempt(en)
}

// count takes note of requests that are open, or are not any more. The caller holds mu.
func (e *Engine) count(key model.Key, n int) {
	e.open += n
	e.service(key).open += n
	e.metrics.open.WithLabelValues(key.Namespace, key.Name).Add(float64(n))
}

// service returns what is known of a Service, and makes it if need be. The caller holds mu.
func (e *Engine) service(key model.Key) *service {
	s, known := e.services[key]
	if !known {
		s = &service{lane: &lane{begin: e.beginAttempt}}
		s.lane.window.set(async.Default().Concurrency)
		e.services[key] = s
	}
	return s
}

// Run calls Services until the context ends, and returns when nothing is under way any more.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.adopt(ctx)
	e.mu.Lock()
	e.ctx = ctx
	for _, s := range e.services {
		e.pump(s.lane)
	}
	e.pump(e.notices)
	e.mu.Unlock()
	e.work.Go(func() { e.journal.Run(ctx, e.current) })
	e.expire(ctx)
	e.mu.Lock()
	close(e.closing)
	e.mu.Unlock()
	e.work.Wait()
	return nil
}

// adopt looks up how many attempts may be under way for the Services that were found.
func (e *Engine) adopt(ctx context.Context) {
	e.mu.Lock()
	var keys []model.Key
	for key := range e.services {
		keys = append(keys, key)
	}
	e.mu.Unlock()
	for _, key := range keys {
		policy, err := e.options.Policy(ctx, key)
		if err != nil {
			continue // its requests fail by themselves, and say why
		}
		e.mu.Lock()
		e.service(key).lane.window.set(policy.Concurrency)
		e.mu.Unlock()
	}
}

// current is a request's record, for the journal.
func (e *Engine) current(id string) (request.Record, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if en, known := e.entries[id]; known {
		return en.record, true
	}
	return request.Record{}, false
}

// pump begins what is due, and sees to it that it is called when more is. The caller holds mu.
func (e *Engine) pump(l *lane) {
	if e.ctx == nil || e.ctx.Err() != nil {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	for {
		if l != e.notices && e.running >= e.options.Running {
			e.starved[l] = struct{}{}
			return
		}
		j, wait := l.ready(e.options.Now())
		if j == nil {
			if wait > 0 {
				l.timer = time.AfterFunc(wait, func() {
					e.mu.Lock()
					defer e.mu.Unlock()
					e.pump(l)
				})
			}
			return
		}
		l.running++
		if l != e.notices {
			e.running++
		}
		l.begin(j)
	}
}

// release is called when a job is over. The caller holds mu.
func (e *Engine) release(l *lane) {
	l.running--
	if l != e.notices {
		e.running--
		for starved := range e.starved {
			if e.running >= e.options.Running {
				break
			}
			delete(e.starved, starved)
			e.pump(starved)
		}
	}
	e.pump(l)
}

// enqueue puts an entry into a lane. The caller holds mu.
func (e *Engine) enqueue(l *lane, en *entry, due time.Time) *job {
	e.order++
	j := &job{entry: en, due: due, order: e.order}
	l.push(j)
	e.pump(l)
	return j
}

// step makes a record's next one, storing stores it; what cannot be stored as it is may be changed.
type (
	step    func(request.Record) (request.Record, error)
	storing func(context.Context, *request.Record) error
)

// next makes an entry's next record, stores it and acts on it. make may refuse. A log that stores nothing at present is asked again if
// the step must not be lost.
func (e *Engine) next(ctx context.Context, en *entry, must bool, make step, store storing) (request.Record, error) {
	en.stepping.Lock()
	defer en.stepping.Unlock()
	e.mu.Lock()
	before := en.record
	e.mu.Unlock()
	next, err := make(before)
	if err != nil {
		return before, err
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		if err = store(ctx, &next); err == nil || !must || ctx.Err() != nil || !errors.Is(err, log.ErrUnavailable) {
			break
		}
		e.options.Logger.Warn("step of a request not stored yet", "request", next.ID, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	if err != nil {
		return before, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	en.record = next
	switch ended := next.State.Final(); {
	case ended && !before.State.Final():
		e.end(en)
	case !ended && before.State.Final():
		e.kept--
		e.count(next.Service, 1)
		e.enqueueAttempt(en)
	case !ended:
		e.enqueueAttempt(en)
	}
	if next.State.Final() {
		e.scheduleNotices(en)
	}
	return next, nil
}

// end acts on a request that has ended. The caller holds mu.
func (e *Engine) end(en *entry) {
	e.count(en.record.Service, -1)
	e.metrics.ended(en.record)
	e.keep(en)
	if en.cancel != nil {
		en.cancel()
	}
	if en.ended != nil {
		close(en.ended)
		en.ended = nil
	}
}

// keep sees to it that an ended request is forgotten in time. The caller holds mu.
func (e *Engine) keep(en *entry) {
	e.kept++
	heap.Push(&e.expiries, expiry{en.record.Expires, en.record.ID})
}

// enqueueAttempt has an entry called when it is due. The caller holds mu.
func (e *Engine) enqueueAttempt(en *entry) {
	en.job = e.enqueue(e.service(en.record.Service).lane, en, en.record.Due)
}

// Wait returns a request's record when it has ended, when a time is over, or when the context or the engine ends.
func (e *Engine) Wait(ctx context.Context, service model.Key, id string, most time.Duration) (request.Record, error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for over := most <= 0; ; {
		e.mu.Lock()
		en, known := e.entries[id]
		if !known || en.record.Service != service {
			e.mu.Unlock()
			return request.Record{}, fmt.Errorf("request %q of %s: %w", id, service, ErrUnknown)
		}
		r := en.record
		if over || r.State.Final() {
			e.mu.Unlock()
			return r, nil
		}
		if en.ended == nil {
			en.ended = make(chan struct{})
		}
		ended := en.ended
		e.mu.Unlock()
		select {
		case <-ended:
		case <-timer.C:
			over = true
		case <-ctx.Done():
			return r, ctx.Err()
		case <-e.closing:
			over = true
		}
	}
}

// Answer returns the stored answer of a request.
func (e *Engine) Answer(ctx context.Context, r request.Record) (journal.Message, error) {
	return e.journal.Answer(ctx, r.ID)
}
