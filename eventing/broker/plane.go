package broker

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/eventing/model"
)

// Plane is what moves events: the log, its ingress and the dispatcher.
type Plane interface {
	// EnsureStream makes a stream that takes events from now on, or changes it.
	EnsureStream(ctx context.Context, stream model.Stream) error
	// RemoveStream drops a stream with everything in it.
	RemoveStream(ctx context.Context, id model.StreamID) error
	// SetReader starts a reader, or changes it.
	SetReader(ctx context.Context, reader model.Reader) error
	// RemoveReader ends a reader and forgets its position.
	RemoveReader(ctx context.Context, stream model.StreamID, id model.ReaderID) error
}

// Exposer makes Services reachable through Envoy.
type Exposer interface {
	// Subscriber makes the gateways lead to a Service; it does nothing for a zero name.
	Subscriber(ctx context.Context, service types.NamespacedName) error
	// Ingress reports whether the gateways lead to the brokers' ingress, or why not.
	Ingress(ctx context.Context) (ready bool, why string)
}
