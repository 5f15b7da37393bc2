package policy

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/enqueue"
)

// Watch has a controller of targets look again at those that a change of an EventPolicy may concern, and at all of them when the features
// change. c reads from a cache; list is an empty list of the controller's kind. A nil Reader changes nothing.
func (r *Reader) Watch(b *builder.Builder, c client.Reader, list client.ObjectList) *builder.Builder {
	if r == nil {
		return b
	}
	b = b.Watches(&eventingv1alpha1.EventPolicy{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []ctrl.Request {
		return enqueue.All(ctx, c, list, client.InNamespace(o.GetNamespace()))
	}))
	return enqueue.OnChange(b, r.Changes, c, list)
}

// Changes is what tells that features have changed; each call makes another channel, for one listener.
type Changes func() <-chan event.GenericEvent
