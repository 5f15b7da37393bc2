package controlplane

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// trustConfigMap writes the roots where agents of a cluster mount them from.
func trustConfigMap(ctx context.Context, c client.Client, roots string) error {
	wanted := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespaces[0], Name: "ebb-trust"},
		Data:       map[string]string{"roots.pem": roots},
	}
	err := c.Create(ctx, wanted)
	if apierrors.IsAlreadyExists(err) {
		var have corev1.ConfigMap
		if err = c.Get(ctx, client.ObjectKeyFromObject(wanted), &have); err == nil && have.Data["roots.pem"] != roots {
			have.Data = wanted.Data
			err = c.Update(ctx, &have)
		}
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	return nil
}
