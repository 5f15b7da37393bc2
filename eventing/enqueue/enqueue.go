package enqueue

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// All are requests for the objects of a kind that options select. c reads from a cache; kind is an empty list.
func All(ctx context.Context, c client.Reader, kind client.ObjectList, options ...client.ListOption) []ctrl.Request {
	return Those(ctx, c, kind, func(client.Object) bool { return true }, options...)
}

// Those are All for which a condition holds. T is the kind's type.
func Those[T client.Object](ctx context.Context, c client.Reader, kind client.ObjectList, holds func(T) bool, options ...client.ListOption) []ctrl.Request {
	list := kind.DeepCopyObject().(client.ObjectList)
	if err := c.List(ctx, list, options...); err != nil {
		return nil
	}
	var out []ctrl.Request
	_ = meta.EachListItem(list, func(o runtime.Object) error { // it is a list
		if one := o.(T); holds(one) {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(one)})
		}
		return nil
	})
	return out
}

// OfNamed looks at all objects of a kind again when the one of a name has changed. kind is an empty list.
func OfNamed(name types.NamespacedName, c client.Reader, kind client.ObjectList) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []ctrl.Request {
		if client.ObjectKeyFromObject(o) != name {
			return nil
		}
		return All(ctx, c, kind)
	})
}

// OnChange has a controller look at all objects of its kind again whenever something is told by changes, which makes a channel for one listener;
// nil tells of nothing.
func OnChange(b *builder.Builder, changes func() <-chan event.GenericEvent, c client.Reader, kind client.ObjectList) *builder.Builder {
	if changes == nil {
		return b
	}
	return b.WatchesRawSource(source.Channel(changes(), handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []ctrl.Request {
		return All(ctx, c, kind)
	})))
}
