package broker

import (
	"context"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/eventing"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/requestreply"
)

// correlationSecret has the key that signs correlation ids, so that those from before a restart are known after it.
const correlationSecret = "ebb-request-reply"

// requestReplies adds the controller of RequestReplies and what answers for them.
func (p *process) requestReplies(ctx context.Context) error {
	c := p.manager.GetClient()
	if err := ensureKey(ctx, c, correlationSecret, randomKey()); err != nil {
		return err
	}
	keys := func(ctx context.Context) ([][]byte, error) {
		return p.keys.get(ctx, client.ObjectKey{Namespace: eventing.SystemNamespace, Name: correlationSecret})
	}
	waiting := requestreply.NewWaiting(requestreply.Options{Log: p.placed, Keys: keys, Logger: p.Log})
	metrics := requestreply.NewMetrics(p.registry, waiting)
	p.replies = &requestreply.Handler{
		Client: c, Features: p.features.get, Ingress: p.ingress, Stream: p.streams.Stream, Waiting: waiting, Metrics: metrics,
		Clock: clock.RealClock{}, Log: p.Log,
	}
	p.hosts(requestreply.Host, &eventingv1alpha1.RequestReply{}, p.replies)
	controller := &requestreply.Reconciler{
		Client: c, Exposer: p.reach, Waiting: waiting, Metrics: metrics, Policies: p.policies,
		ClusterDomain: p.ClusterDomain, Clock: clock.RealClock{},
	}
	return controller.Setup(p.manager)
}
