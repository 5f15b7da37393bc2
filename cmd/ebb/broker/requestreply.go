package broker

import (
	"context"
	"net/http"
	"slices"

	"k8s.io/utils/clock"

	"ebb.dev/ebb/crds/eventing"
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
	key, err := readKey(ctx, c, eventing.SystemNamespace, correlationSecret)
	if err != nil {
		return err
	}
	waiting := requestreply.NewWaiting(requestreply.Options{Log: p.placed, Key: key, Logger: p.Log})
	metrics := requestreply.NewMetrics(p.registry, waiting)
	p.replies = &requestreply.Handler{
		Client: c, Features: p.features.get, Ingress: p.ingress, Stream: p.streams.Stream, Waiting: waiting, Metrics: metrics,
		Names: slices.Concat(requestreply.Hosts(p.ClusterDomain), requestreply.External(p.Domain)), Clock: clock.RealClock{}, Log: p.Log,
	}
	controller := &requestreply.Reconciler{
		Client: c, Exposer: p.reach, Waiting: waiting, Metrics: metrics, Policies: p.policies,
		ClusterDomain: p.ClusterDomain, Domain: p.Domain, Gateway: p.GatewayHost, Clock: clock.RealClock{},
	}
	return controller.Setup(p.manager)
}

// withRequestReplies answers what comes for the host of RequestReplies, and leaves the rest to events. run keeps what waits until the process
// ends.
func (p *process) withRequestReplies(ctx context.Context, events http.Handler, run func(what string, f func() error)) http.Handler {
	run("request-reply", func() error {
		<-ctx.Done()
		p.replies.Waiting.Close()
		return nil
	})
	return first(p.replies.Takes, p.replies, events)
}
