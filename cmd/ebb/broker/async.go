package broker

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	asyncapi "ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/crds/eventing"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/eventing/async"
	"ebb.dev/ebb/eventing/async/call"
	"ebb.dev/ebb/eventing/model"
)

// callbackSecret has the key that signs callbacks: a namespace's own, or the platform's in knative-eventing.
const callbackSecret = "ebb-async-callback"

// withAsync returns what answers for this process: requests that are to be answered later go to the engine, which run keeps running, and all
// others to events.
func (p *process) withAsync(ctx context.Context, events http.Handler, run func(what string, f func() error)) (http.Handler, error) {
	// So that the first request does not wait for it.
	if _, err := p.manager.GetCache().GetInformer(ctx, &servingv1.Route{}); err != nil {
		return nil, fmt.Errorf("watch Routes: %w", err)
	}
	if err := ensureKey(ctx, p.manager.GetClient(), callbackSecret, []byte("whsec_"+base64.StdEncoding.EncodeToString(randomKey()))); err != nil {
		return nil, err
	}
	notifier := call.NewNotifier(call.NotifierOptions{
		Route: p.inCluster,
		// On a platform of one machine, where gateways are told an address of this process, receivers are on it too.
		Loopback: p.Advertise != "",
	})
	engine, err := async.Open(ctx, async.Options{
		Log: p.log, Policy: p.policy, Attempt: call.NewCaller(p.Gateway).Attempt, Tell: notifier.Tell, Secret: p.callbackKey,
		Metrics: p.registry, Logger: p.Log,
	})
	if err != nil {
		return nil, err
	}
	p.later.Store(engine)
	run("async", func() error { return engine.Run(ctx) })
	return first(async.Takes, &async.Handler{Engine: engine}, events), nil
}

// inCluster sends what is for a Service of the cluster by the gateway.
func (p *process) inCluster(u *url.URL) string {
	if u.Port() != "80" {
		return ""
	}
	return through(p.Gateway, p.ClusterDomain)(u)
}

// policy is what a Route's annotations ask for; a Service's are its Route's too.
func (p *process) policy(ctx context.Context, key model.Key) (asyncapi.Policy, error) {
	var route servingv1.Route
	err := p.manager.GetClient().Get(ctx, key, &route)
	switch {
	case apierrors.IsNotFound(err):
		return asyncapi.Policy{}, fmt.Errorf("Route %s: %w", key, async.ErrUnknown)
	case err != nil:
		return asyncapi.Policy{}, fmt.Errorf("Route %s: %w", key, err)
	}
	return asyncapi.Resolve(route.Annotations, route.Labels), nil
}

// callbackKey is the key that signs a namespace's callbacks.
func (p *process) callbackKey(ctx context.Context, namespace string) ([]byte, error) {
	keys, err := p.keys.get(ctx, client.ObjectKey{Namespace: namespace, Name: callbackSecret}, client.ObjectKey{Namespace: eventing.SystemNamespace, Name: callbackSecret})
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}
