package broker

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing"
)

// configMap is the one ConfigMap of a name in namespace knative-eventing: it is watched, not all of the cluster.
func (p *process) configMap(name string) (cache.ListerWatcher, error) {
	clients, err := kubernetes.NewForConfig(p.config)
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", config.EventingObjectName(name), err)
	}
	return cache.NewListWatchFromClient(clients.CoreV1().RESTClient(), "configmaps", eventing.SystemNamespace,
		fields.OneTermEqualSelector(metav1.ObjectNameField, name)), nil
}

// followConfigMap calls take with the data of the one ConfigMap of a source, one call at a time, until the context ends; nil when it is deleted.
func followConfigMap(ctx context.Context, source cache.ListerWatcher, take func(data map[string]string)) {
	changed := func(o any) {
		if m, ok := o.(*corev1.ConfigMap); ok {
			take(m.Data)
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source, ObjectType: &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: changed, UpdateFunc: func(_, now any) { changed(now) }, DeleteFunc: func(any) { take(nil) },
		},
	})
	informer.RunWithContext(ctx)
}
