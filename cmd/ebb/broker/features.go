package broker

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing"
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

// set takes over new ones and tells, if they are other ones.
func (f *features) set(next *config.EventingFeatures) {
	if old := f.current.Swap(next); old != nil && reflect.DeepEqual(*old, *next) {
		return
	}
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

// followFeatures reads them, and keeps them in step once the manager runs. Nothing begins before they are known: a receiver would let pass whom it
// is to ask, and as whom objects send would be taken away.
func (p *process) followFeatures(ctx context.Context) error {
	defaults, _, err := config.ParseEventingFeatures(nil)
	if err != nil {
		return fmt.Errorf("%s: %w", config.EventingObjectName(config.EventingFeaturesName), err)
	}
	p.features.set(&defaults)
	if err := p.readFeatures(ctx); err != nil {
		return err
	}
	source, err := p.configMap(config.EventingFeaturesName)
	if err != nil {
		return err
	}
	return p.manager.Add(manager.RunnableFunc(func(ctx context.Context) error {
		followConfigMap(ctx, source, p.takeFeatures)
		return nil
	}))
}

// readFeatures reads them once, however long the API server takes to answer.
func (p *process) readFeatures(ctx context.Context) error {
	name := config.EventingObjectName(config.EventingFeaturesName)
	return wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		var m corev1.ConfigMap
		err := p.manager.GetAPIReader().Get(ctx, client.ObjectKey{Namespace: eventing.SystemNamespace, Name: config.EventingFeaturesName}, &m)
		if client.IgnoreNotFound(err) != nil {
			p.Log.Warn("settings not read yet", "configmap", name, "error", err)
			return false, nil
		}
		if err == nil {
			p.takeFeatures(m.Data)
		}
		return true, nil
	})
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
