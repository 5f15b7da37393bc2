package settings

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/serving"
)

// Store holds the current Set. Its methods may be called concurrently.
type Store struct {
	log      *slog.Logger
	events   events.EventRecorder
	informer func(ctx context.Context) (informer, error)

	current atomic.Pointer[config.Set]
	loaded  chan struct{}
	once    sync.Once

	mu          sync.Mutex
	subscribers []subscriber

	// taking is held while a ConfigMap is taken over: a cache of several namespaces has an informer, and a goroutine that calls, for each.
	taking sync.Mutex
	last   map[string]map[string]string // data by name
}

// informer is what a Store needs of a cache's informer for ConfigMaps.
type informer interface {
	AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error)
}

type subscriber struct {
	names []string
	calls chan event.GenericEvent
}

// NewStore returns a Store that starts with mgr and watches through its cache. clusterDomain is such as cluster.local.
func NewStore(mgr manager.Manager, clusterDomain string, log *slog.Logger) (*Store, error) {
	s := newStore(clusterDomain, log, mgr.GetEventRecorder("ebb-settings"))
	s.informer = func(ctx context.Context) (informer, error) {
		return mgr.GetCache().GetInformer(ctx, &corev1.ConfigMap{})
	}
	if err := mgr.Add(s); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return s, nil
}

func newStore(clusterDomain string, log *slog.Logger, recorder events.EventRecorder) *Store {
	s := &Store{log: log, events: recorder, loaded: make(chan struct{}), last: map[string]map[string]string{}}
	s.current.Store(config.NewSet(clusterDomain))
	return s
}

// Fixed returns a Store that holds set and never changes, for tests and for tools that have no cluster.
func Fixed(set *config.Set) *Store {
	s := &Store{log: slog.New(slog.DiscardHandler), loaded: make(chan struct{})}
	s.current.Store(set)
	s.once.Do(func() { close(s.loaded) })
	return s
}

// Get returns the Set in force. Until the ConfigMaps have been read once it waits. The error is ctx's.
func (s *Store) Get(ctx context.Context) (*config.Set, error) {
	select {
	case <-s.loaded:
		return s.current.Load(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("ConfigMaps of namespace %s are not read yet: %w", serving.SystemNamespace, ctx.Err())
	}
}

// Changes returns a channel that gets a word after one of the named ConfigMaps has changed and is in force. Words that nobody
// has taken yet are not heaped up. The event's object is the ConfigMap.
func (s *Store) Changes(names ...string) <-chan event.GenericEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make(chan event.GenericEvent, 1)
	s.subscribers = append(s.subscribers, subscriber{names, calls})
	return calls
}

// NeedLeaderElection reports false: every replica needs the settings.
func (s *Store) NeedLeaderElection() bool { return false }

// Start watches until ctx ends.
func (s *Store) Start(ctx context.Context) error {
	informer, err := s.informer(ctx)
	if err != nil {
		return fmt.Errorf("settings: watch ConfigMaps: %w", err)
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.changed(o, false) },
		UpdateFunc: func(_, o any) { s.changed(o, false) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			s.changed(o, true)
		},
	})
	if err != nil {
		return fmt.Errorf("settings: watch ConfigMaps: %w", err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil
	}
	s.once.Do(func() { close(s.loaded) })
	<-ctx.Done()
	return nil
}

// read reports whether a ConfigMap is one of ours.
func read(m *corev1.ConfigMap) bool {
	switch m.Namespace {
	case serving.SystemNamespace:
		return slices.Contains(config.Names(), m.Name)
	case eventing.SystemNamespace:
		return slices.Contains(config.EventingNames(), m.Name)
	}
	return false
}

// changed takes over a ConfigMap.
func (s *Store) changed(o any, gone bool) {
	m, ok := o.(*corev1.ConfigMap)
	if !ok || !read(m) {
		return
	}
	s.taking.Lock()
	defer s.taking.Unlock()
	data := m.Data
	if gone {
		data = nil
	}
	name := m.Namespace + "/" + m.Name
	if before, known := s.last[name]; known && maps.Equal(before, data) {
		return
	}
	s.last[name] = data
	next, warnings, err := s.current.Load().WithIn(m.Namespace, m.Name, data)
	for _, warning := range warnings {
		s.log.Warn("setting without effect", "warning", warning)
	}
	if err != nil {
		s.log.Error("settings not accepted, the last good ones stay", "configmap", name, "err", err)
		s.events.Eventf(m, nil, corev1.EventTypeWarning, "NotAccepted", "Read", "%s", fmt.Sprintf("the last good values stay in force: %.900v", err))
		return
	}
	s.current.Store(next)
	select {
	case <-s.loaded:
		s.log.Info("settings changed", "configmap", name, "keys", slices.Sorted(maps.Keys(data)))
		s.call(m)
	default: // nobody has decided anything yet
	}
}

// call tells who waits for a ConfigMap of serving; those of eventing have some of the same names.
func (s *Store) call(m *corev1.ConfigMap) {
	if m.Namespace != serving.SystemNamespace {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscribers {
		if !slices.Contains(sub.names, m.Name) {
			continue
		}
		select {
		case sub.calls <- event.GenericEvent{Object: m}:
		default:
		}
	}
}
