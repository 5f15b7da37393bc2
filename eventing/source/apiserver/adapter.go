package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Accept stores events in a stream; its errors wrap those of package log.
type Accept func(ctx context.Context, stream model.StreamID, events ...*event.Event) error

const (
	// firstRetry doubles with each attempt to store an event, up to lastRetry.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Adapter watches for sources and stores what they tell.
type Adapter struct {
	Watches *Watches
	Accept  Accept
	Clock   clock.Clock
	Log     *slog.Logger

	mu      sync.Mutex
	sources map[types.NamespacedName]*adapted
}

// adapted is a source that is watched for.
type adapted struct {
	name    types.NamespacedName
	stream  model.StreamID
	telling atomic.Pointer[telling]
	watches map[Watch]*Subscription
	// awaited are the watches whose first word somebody waits for.
	awaited map[*Subscription]bool
	ctx     context.Context
	stop    context.CancelFunc
}

// Set begins to watch for a source, or changes what is watched and how it is told. A watch that stays is not disturbed.
func (a *Adapter) Set(name types.NamespacedName, stream model.StreamID, t *telling, watches []Watch) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sources[name]
	if s != nil && s.stream != stream {
		a.remove(s)
		s = nil
	}
	if s == nil {
		s = &adapted{name: name, stream: stream, watches: map[Watch]*Subscription{}, awaited: map[*Subscription]bool{}}
		s.ctx, s.stop = context.WithCancel(context.Background())
		if a.sources == nil {
			a.sources = map[types.NamespacedName]*adapted{}
		}
		a.sources[name] = s
	}
	s.telling.Store(t)
	wanted := map[Watch]bool{}
	var failed []error
	for _, w := range watches {
		wanted[w] = true
		if s.watches[w] != nil {
			continue
		}
		subscription, err := a.Watches.Subscribe(w, func(c Change) { a.tell(s, c) })
		if err != nil {
			failed = append(failed, err)
			continue
		}
		s.watches[w] = subscription
	}
	for w, subscription := range s.watches {
		if !wanted[w] {
			subscription.Stop()
			delete(s.watches, w)
			delete(s.awaited, subscription)
		}
	}
	return errors.Join(failed...)
}

// Watching reports whether a source is watched for.
func (a *Adapter) Watching(name types.NamespacedName) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sources[name] != nil
}

// Remove ends watching for a source.
func (a *Adapter) Remove(name types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sources[name]; s != nil {
		a.remove(s)
	}
}

// Close ends watching for all sources.
func (a *Adapter) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sources {
		a.remove(s)
	}
}

func (a *Adapter) remove(s *adapted) {
	s.stop()
	for _, subscription := range s.watches {
		subscription.Stop()
	}
	delete(a.sources, s.name)
}

// Synced reports whether all that happens is told; if not, it says why if that is known, and calls again, with a context that ends with the source, once more is told.
func (a *Adapter) Synced(name types.NamespacedName, again func(context.Context)) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sources[name]
	if s == nil {
		return false, nil
	}
	for w, subscription := range s.watches {
		select {
		case <-subscription.Synced():
			continue
		default:
		}
		if !s.awaited[subscription] {
			s.awaited[subscription] = true
			go s.await(subscription, again)
		}
		if err := subscription.Trouble(); err != nil {
			return false, fmt.Errorf("%s in namespace %q: %w", w.Resource.GroupResource(), w.Namespace, err)
		}
		return false, nil
	}
	return true, nil
}

func (s *adapted) await(subscription *Subscription, again func(context.Context)) {
	select {
	case <-subscription.Synced():
		again(s.ctx)
	case <-s.ctx.Done():
	}
}

// tell stores what a source says of a change. It returns when it is stored, cannot ever be, or the source is gone.
func (a *Adapter) tell(s *adapted, c Change) {
	e, err := s.telling.Load().event(c, a.Clock.Now().UTC())
	if err != nil {
		a.Log.Error("change of an object not told", "source", s.name.String(), "error", err)
		return
	}
	for delay := firstRetry; e != nil; delay = min(2*delay, lastRetry) {
		err := a.Accept(s.ctx, s.stream, e)
		switch {
		case err == nil || s.ctx.Err() != nil:
			return
		case errors.Is(err, log.ErrInvalid), errors.Is(err, log.ErrTooLarge), errors.Is(err, log.ErrUnknown):
			a.Log.Error("change of an object not told", "source", s.name.String(), "type", e.Type(), "subject", e.Subject(), "error", err)
			return
		}
		a.Log.Warn("change of an object not stored yet", "source", s.name.String(), "subject", e.Subject(), "again", delay, "error", err)
		timer := a.Clock.NewTimer(delay)
		select {
		case <-s.ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
	}
}
