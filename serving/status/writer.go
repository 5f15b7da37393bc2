package status

import (
	"context"
	"fmt"
	"sync"
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

// Writer writes the statuses of one kind.
type Writer struct {
	client client.Client
	clock  clock.PassiveClock
	soon   time.Duration

	mu      sync.Mutex
	pending map[client.ObjectKey]time.Time // since when another status than the stored one is wanted
}

// NewWriter returns a Writer through c. soon is the delay of pace Soon; 0 is DefaultSoon.
func NewWriter(c client.Client, clock clock.PassiveClock, soon time.Duration) *Writer {
	if soon == 0 {
		soon = DefaultSoon
	}
	return &Writer{client: c, clock: clock, soon: soon, pending: map[client.ObjectKey]time.Time{}}
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
	since, found := w.pending[name]
	if !found {
		since = now
		w.pending[name] = now
	}
	return max(0, since.Add(delay).Sub(now))
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
	delete(w.pending, name)
}
