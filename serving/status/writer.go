package status

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Pace says how long a status may wait to be written.
type Pace int

const (
	// Now is for what people and other reconcilers wait for.
	Now Pace = iota
	// Soon is for what may be superseded within moments: it is written if it lasts.
	Soon
	// Calm is for figures beside a state that stays: they change often and nobody waits for them.
	Calm
	// Late is for what goes on while a request waits: it is written if it takes longer than any request should.
	Late
)

const (
	// DefaultSoon is how long a passing status must last to be written.
	DefaultSoon = 250 * time.Millisecond
	calm        = time.Second
	late        = 10 * time.Second
)

// MostPerSecond is about how many statuses of one pace are written in a second, Now excepted. If more of them wait than that allows each
// waits longer, in proportion: the API server shall be busy getting things where they go, not with telling of it. The way of a single new
// Service has four statuses of pace Soon; they wait no longer than it says.
const MostPerSecond = 16

// longest is how far a wait may be stretched.
const longest = 30 * time.Second

// Backlog counts the statuses that wait, by pace, over all kinds whose Writers share it. The zero value is ready for use.
type Backlog struct{ waiting [Late + 1]atomic.Int64 }

// crowd is how many times as long as alone a status of a pace of delay must last now.
func (b *Backlog) crowd(pace Pace, delay time.Duration) float64 {
	return max(1, float64(b.waiting[pace].Load())/(MostPerSecond*delay.Seconds()))
}

// Writer writes the statuses of one kind.
type Writer struct {
	client  client.Client
	clock   clock.PassiveClock
	soon    time.Duration
	backlog *Backlog

	mu      sync.Mutex
	pending map[client.ObjectKey]wait
}

// wait is that of an object of which another status is wanted than the stored one.
type wait struct {
	since time.Time
	pace  Pace
	// crowd is the largest there has been: the last of it shall not tell what is about to pass just because the others are through.
	crowd float64
}

// end is when a status of a pace of delay is due.
func (w wait) end(delay time.Duration) time.Time {
	return w.since.Add(max(delay, min(longest, time.Duration(float64(delay)*w.crowd))))
}

// NewWriter returns a Writer through c. soon is the delay of pace Soon; 0 is DefaultSoon. backlog is shared by the kinds of one room.
func NewWriter(c client.Client, clock clock.PassiveClock, soon time.Duration, backlog *Backlog) *Writer {
	if soon == 0 {
		soon = DefaultSoon
	}
	return &Writer{client: c, clock: clock, soon: soon, backlog: backlog, pending: map[client.ObjectKey]wait{}}
}

// Write makes stored's status that of wanted, if it is time. wanted is stored with another status. It returns whether it has written, and
// after how long to ask again, 0 if there is nothing left to do. A conflict is no error: what has changed is looked at again.
func (w *Writer) Write(ctx context.Context, stored, wanted client.Object, pace Pace) (written bool, again time.Duration, err error) {
	name := client.ObjectKeyFromObject(stored)
	if equality.Semantic.DeepEqual(stored, wanted) {
		w.Forget(name)
		return false, 0, nil
	}
	if wait := w.wait(name, pace); wait > 0 {
		return false, wait, nil
	}
	err = w.client.Status().Update(ctx, wanted)
	switch {
	case apierrors.IsConflict(err):
		return false, conflictDelay, nil
	case apierrors.IsNotFound(err):
		w.Forget(name)
		return false, 0, nil
	case err != nil:
		return false, 0, fmt.Errorf("status of %T %s: %w", stored, name, err)
	}
	w.Forget(name)
	return true, 0, nil
}

// conflictDelay gives the cache time to show what the write conflicted with.
const conflictDelay = 20 * time.Millisecond

// wait returns how much longer a status must wait.
func (w *Writer) wait(name client.ObjectKey, pace Pace) time.Duration {
	delay := w.delay(pace)
	if delay == 0 {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	own, found := w.pending[name]
	if !found {
		own.since = now
	}
	if !found || own.pace != pace {
		w.leave(name)
		own.pace, own.crowd = pace, 0
		w.backlog.waiting[pace].Add(1)
	}
	own.crowd = max(own.crowd, w.backlog.crowd(pace, delay))
	w.pending[name] = own
	return max(0, own.end(delay).Sub(now))
}

func (w *Writer) delay(pace Pace) time.Duration {
	switch pace {
	case Soon:
		return w.soon
	case Calm:
		return max(calm, w.soon)
	case Late:
		return max(late, w.soon)
	default:
		return 0
	}
}

// Forget drops what is remembered of an object. Reconcilers call it for one that is gone.
func (w *Writer) Forget(name client.ObjectKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leave(name)
}

// leave takes an object out of those that wait. The caller holds the lock.
func (w *Writer) leave(name client.ObjectKey) {
	if own, found := w.pending[name]; found {
		delete(w.pending, name)
		w.backlog.waiting[own.pace].Add(-1)
	}
}
