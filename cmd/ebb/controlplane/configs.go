package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
)

// configs follows the ConfigMaps of knative-serving. A bad value never replaces the last good one.
type configs struct {
	log *slog.Logger

	mu        sync.Mutex
	set       *config.Set
	listeners []func(*config.Set)
}

func newConfigs(clusterDomain string, log *slog.Logger) *configs {
	return &configs{log: log, set: config.NewSet(clusterDomain)}
}

// Current returns the set as it is now.
func (c *configs) Current() *config.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.set
}

// OnChange makes f be called with every new set. It must be called before watch.
func (c *configs) OnChange(f func(*config.Set)) { c.listeners = append(c.listeners, f) }

// watch returns when all ConfigMaps that exist were read.
func (c *configs) watch(ctx context.Context, informers cache.Cache) error {
	informer, err := informers.GetInformer(ctx, &corev1.ConfigMap{})
	if err != nil {
		return fmt.Errorf("watch ConfigMaps: %w", err)
	}
	is := func(object any) {
		if m, ok := object.(*corev1.ConfigMap); ok && m.Namespace == serving.SystemNamespace {
			c.take(m.Name, m.Data)
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    is,
		UpdateFunc: func(_, object any) { is(object) },
		DeleteFunc: func(object any) {
			if m, ok := object.(*corev1.ConfigMap); ok && m.Namespace == serving.SystemNamespace {
				c.take(m.Name, nil)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch ConfigMaps: %w", err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return context.Cause(ctx)
	}
	return nil
}

func (c *configs) take(name string, data map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, warnings, err := c.set.With(name, data)
	for _, warning := range warnings {
		c.log.Warn("configuration", "configmap", serving.SystemNamespace+"/"+name, "warning", warning)
	}
	if err != nil {
		c.log.Error("configuration refused, the last good one stays", "configmap", serving.SystemNamespace+"/"+name, "error", err)
		return
	}
	c.set = next
	for _, listener := range c.listeners {
		listener(next)
	}
}
