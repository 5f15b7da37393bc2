package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"ebb.dev/ebb/crds/config"
)

// features are what config-features of namespace knative-eventing says. Asking for them takes no lock.
type features struct {
	current atomic.Pointer[config.EventingFeatures]

	mu        sync.Mutex
	listeners []chan event.GenericEvent
}

// changes tells one listener that they have changed; words that it has not taken are not heaped up.
func (f *features) changes() <-chan event.GenericEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	listener := make(chan event.GenericEvent, 1)
	f.listeners = append(f.listeners, listener)
	return listener
}

// set takes over new ones and tells.
func (f *features) set(next *config.EventingFeatures) {
	f.current.Store(next)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, listener := range f.listeners {
		select {
		case listener <- event.GenericEvent{Object: &corev1.ConfigMap{}}:
		default:
		}
	}
}

// get is what was last accepted; the defaults until the ConfigMap was read.
func (f *features) get() config.EventingFeatures { return *f.current.Load() }

// enabled reports whether a feature is on.
func (f *features) enabled(feature config.EventingFeature) func() bool {
	return func() bool {
		now := f.current.Load()
		return now != nil && now.Enabled(feature)
	}
}

// followFeatures keeps them in step once the manager runs.
func (p *process) followFeatures() error {
	defaults, _, err := config.ParseEventingFeatures(nil)
	if err != nil {
		return fmt.Errorf("%s: %w", config.EventingObjectName(config.EventingFeaturesName), err)
	}
	p.features.set(&defaults)
	source, err := p.configMap(config.EventingFeaturesName)
	if err != nil {
		return err
	}
	return p.manager.Add(manager.RunnableFunc(func(ctx context.Context) error {
		followConfigMap(ctx, source, p.takeFeatures)
		return nil
	}))
}

// takeFeatures takes over the ConfigMap's data; what is wrong leaves the last good ones in force. The control plane warns of keys without effect.
func (p *process) takeFeatures(data map[string]string) {
	next, _, err := config.ParseEventingFeatures(data)
	if err != nil {
		p.Log.Error("settings not accepted, the last good ones stay", "configmap", config.EventingObjectName(config.EventingFeaturesName), "error", err)
		return
	}
	p.features.set(&next)
}
