package broker

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
)

// Exposer makes Services reachable through Envoy.
type Exposer interface {
	// Subscribers makes the gateways lead to Services; zero names are left out.
	Subscribers(ctx context.Context, services ...types.NamespacedName) error
	// Ingress reports whether the gateways lead to the brokers' ingress, or why not.
	Ingress(ctx context.Context) (ready bool, why string)
}
