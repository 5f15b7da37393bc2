package apiserver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

// Watch is what one watch of the API sees.
type Watch struct {
	Kind     schema.GroupVersionKind
	Resource schema.GroupVersionResource
	// Namespace is empty for all, and for what is in none.
	Namespace string
	// Selector is that of labels, as in a query.
	Selector string
	// Whole asks for whole objects rather than their metadata alone.
	Whole bool
}

// Watches shares watches among those who ask for the same one. A watch ends with its last user.
type Watches struct {
	Whole    dynamic.Interface
	Metadata metadata.Interface
	Log      *slog.Logger

	mu      sync.Mutex
	running map[Watch]*running
}

// running is a watch that somebody uses.
type running struct {
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
	users    int

	mu      sync.Mutex
	trouble error
}

// Subscription is one user's part in a watch.
type Subscription struct {
	watches *Watches
	watch   Watch
	handle  cache.ResourceEventHandlerRegistration
	run     *running
}

// Subscribe calls f with every change from when the subscription has synced, one after the other. What is there already is no change. f may
// take its time: it delays nobody else, and what happens meanwhile waits in memory.
func (w *Watches) Subscribe(watch Watch, f func(Change)) (*Subscription, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	run, err := w.run(watch)
	if err != nil {
		return nil, err
	}
	handle, err := run.informer.AddEventHandler(changes(watch, f))
	if err != nil {
		w.leave(watch, run)
		return nil, fmt.Errorf("watch %s: %w", watch.Resource, err)
	}
	return &Subscription{watches: w, watch: watch, handle: handle, run: run}, nil
}

// run joins a watch, or begins it.
func (w *Watches) run(watch Watch) (*running, error) {
	if run, ok := w.running[watch]; ok {
		run.users++
		return run, nil
	}
	run := &running{informer: w.informer(watch), users: 1}
	err := run.informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		run.mu.Lock()
		run.trouble = err
		run.mu.Unlock()
		w.Log.Warn("watch of the API broken off, it is begun again", "resource", watch.Resource.String(), "namespace", watch.Namespace, "error", err)
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", watch.Resource, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	run.stop = stop
	if w.running == nil {
		w.running = map[Watch]*running{}
	}
	w.running[watch] = run
	go run.informer.RunWithContext(ctx)
	return run, nil
}

func (w *Watches) informer(watch Watch) cache.SharedIndexInformer {
	narrow := func(o *metav1.ListOptions) { o.LabelSelector = watch.Selector }
	if watch.Whole {
		return dynamicinformer.NewFilteredDynamicInformer(w.Whole, watch.Resource, watch.Namespace, 0, cache.Indexers{}, narrow).Informer()
	}
	return metadatainformer.NewFilteredMetadataInformer(w.Metadata, watch.Resource, watch.Namespace, 0, cache.Indexers{}, narrow).Informer()
}

// leave ends a user's part; w is locked.
func (w *Watches) leave(watch Watch, run *running) {
	if run.users--; run.users == 0 {
		run.stop()
		delete(w.running, watch)
	}
}

// changes turns what an informer says into changes. After a gap the informer finds by itself what has changed, and repeats what has not.
func changes(watch Watch, f func(Change)) cache.ResourceEventHandlerDetailedFuncs {
	tell := func(verb Verb, o any) {
		if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		if object, err := meta.Accessor(o); err == nil {
			f(Change{Verb: verb, Kind: watch.Kind, Resource: watch.Resource, Object: object})
		}
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, wasThere bool) {
			if !wasThere {
				tell(Add, o)
			}
		},
		UpdateFunc: func(before, o any) {
			if !same(before, o) {
				tell(Update, o)
			}
		},
		DeleteFunc: func(o any) { tell(Delete, o) },
	}
}

func same(a, b any) bool {
	one, err := meta.Accessor(a)
	if err != nil {
		return false
	}
	other, err := meta.Accessor(b)
	return err == nil && one.GetUID() == other.GetUID() && one.GetResourceVersion() == other.GetResourceVersion()
}

// Synced is closed once everything that happens from then on is told.
func (s *Subscription) Synced() <-chan struct{} { return s.handle.HasSyncedChecker().Done() }

// Trouble is why the watch was broken off last, if it was.
func (s *Subscription) Trouble() error {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.run.trouble
}

// Stop ends the subscription. A call that is under way ends by itself.
func (s *Subscription) Stop() {
	s.watches.mu.Lock()
	defer s.watches.mu.Unlock()
	if err := s.run.informer.RemoveEventHandler(s.handle); err != nil {
		s.watches.Log.Error("watch not left", "resource", s.watch.Resource.String(), "error", err)
	}
	s.watches.leave(s.watch, s.run)
}
