package policy

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
)

// Watch has a controller of targets look again at those that a change of an EventPolicy may concern, and at all of them when the features
// change. c reads from a cache; list is an empty list of the controller's kind. A nil Reader changes nothing.
func (r *Reader) Watch(b *builder.Builder, c client.Reader, list client.ObjectList) *builder.Builder {
	if r == nil {
		return b
	}
	b = b.Watches(&eventingv1alpha1.EventPolicy{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []ctrl.Request {
		return listed(ctx, c, list, client.InNamespace(o.GetNamespace()))
	}))
	if r.Changes == nil {
		return b
	}
	return b.WatchesRawSource(source.Channel(r.Changes(), handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []ctrl.Request {
		return listed(ctx, c, list)
	})))
}

// listed are requests for all objects of a list.
func listed(ctx context.Context, c client.Reader, kind client.ObjectList, options ...client.ListOption) []ctrl.Request {
	list := kind.DeepCopyObject().(client.ObjectList)
	if err := c.List(ctx, list, options...); err != nil {
		return nil
	}
	var out []ctrl.Request
	_ = meta.EachListItem(list, func(o runtime.Object) error {
		out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o.(client.Object))})
		return nil
	})
	return out
}

// Changes is what tells that features have changed; each call makes another channel, for one listener.
type Changes func() <-chan event.GenericEvent
