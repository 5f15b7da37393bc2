package controlplane

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
)

// logrOf lets controller-runtime log where we do.
func logrOf(log *slog.Logger) logr.Logger { return logr.FromSlogHandler(log.Handler()) }

// ourCache is started before the manager that uses it: the world is read before anything is served.
type ourCache struct{ cache.Cache }

func startedByUs(config *rest.Config, options cache.Options) (cache.Cache, error) {
	c, err := cache.New(config, options)
	if err != nil {
		return nil, err
	}
	return ourCache{c}, nil
}

// Start does nothing but wait: the cache runs already.
func (c ourCache) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// ingressClass is the class of an ingress; one that names none has the default.
func ingressClass(ingress *networkingv1alpha1.Ingress, set *config.Set) string {
	if class := networking.IngressClass(ingress.Annotations); class != "" {
		return class
	}
	return set.Network.IngressClass
}
