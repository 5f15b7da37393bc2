package target

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/crds/autoscaling/v1alpha1"
)

// Engine is what is told of revisions to scale.
type Engine interface {
	Upsert(revision scale.Revision, spec scale.Spec) bool
	Remove(revision scale.Revision)
	Changed(revision scale.Revision)
}

// Watch feeds the targets and the engine from informers, and returns when all that existed was seen.
func (t *Targets) Watch(ctx context.Context, informers cache.Cache, engine Engine) error {
	deployments, err := informers.GetInformer(ctx, &appsv1.Deployment{})
	if err != nil {
		return fmt.Errorf("watch Deployments: %w", err)
	}
	first, err := deployments.AddEventHandler(handler(
		func(d *appsv1.Deployment) { t.Deployment(d) },
		func(d *appsv1.Deployment) { t.Gone(d) },
	))
	if err != nil {
		return fmt.Errorf("watch Deployments: %w", err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), first.HasSynced) {
		return context.Cause(ctx)
	}
	autoscalers, err := informers.GetInformer(ctx, &v1alpha1.PodAutoscaler{})
	if err != nil {
		return fmt.Errorf("watch PodAutoscalers: %w", err)
	}
	second, err := autoscalers.AddEventHandler(handler(
		func(pa *v1alpha1.PodAutoscaler) {
			t.Adopt(pa)
			engine.Upsert(keyOf(pa), scale.SpecOf(pa))
		},
		func(pa *v1alpha1.PodAutoscaler) {
			engine.Remove(keyOf(pa))
			t.Release(keyOf(pa))
		},
	))
	if err != nil {
		return fmt.Errorf("watch PodAutoscalers: %w", err)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), second.HasSynced) {
		return context.Cause(ctx)
	}
	return nil
}

func keyOf(object client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// handler turns an informer's events into "this is how it is" and "this is gone".
func handler[T client.Object](is, gone func(T)) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { is(object.(T)) },
		UpdateFunc: func(_, object any) { is(object.(T)) },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if typed, ok := object.(T); ok {
				gone(typed)
			}
		},
	}
}
