package broker

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/config"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
)

// identity is the ServiceAccount that this process delivers as, where receivers ask who sends.
var identity = types.NamespacedName{Namespace: exposure.Namespace, Name: "ebb-events"}

// prepare makes what everything else asks: the features, who this process is, and the EventPolicies.
func (p *process) prepare() error {
	p.features = &features{}
	c := p.manager.GetClient()
	p.tokens = &policy.Tokens{Client: c, Account: identity, Clock: clock.RealClock{}}
	p.policies = &policy.Reader{Client: c, Features: p.features.get, Changes: p.features.changes}
	return p.followFeatures()
}

// guarded lets requests through whose senders may send.
func (p *process) guarded(next http.Handler) http.Handler {
	return &policy.Guard{
		Next: next, Features: p.features.get, Policies: p.policies.In, Own: p.tokens.Subject(), Log: p.Log,
		Subject: policy.NewVerifier(p.manager.GetClient(), clock.RealClock{}).Subject,
		Target: func(r *http.Request) (policy.Target, bool, error) {
			return p.target(r.Context(), r.Host, r.URL.Path)
		},
	}
}

// target finds what is reached by a host and a path; false if that is nothing of ours.
func (p *process) target(ctx context.Context, host, path string) (policy.Target, bool, error) {
	host = ingress.Hostname(host)
	if s, ok := p.streams.Host(host); ok {
		return p.found(ctx, s.Key, &messagingv1.InMemoryChannel{}, &messagingv1beta1.KafkaChannel{})
	}
	var candidate client.Object = &eventingv1.Broker{}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if p.jobs.Hosts(host) {
		candidate = &sinksv1alpha1.JobSink{}
		if len(parts) == 8 {
			parts = []string{parts[1], parts[3]}
		}
	}
	if len(parts) != 2 {
		return policy.Target{}, false, nil
	}
	return p.found(ctx, model.Key{Namespace: parts[0], Name: parts[1]}, candidate)
}

// found is the first kind of which there is an object of a name.
func (p *process) found(ctx context.Context, key model.Key, candidates ...client.Object) (policy.Target, bool, error) {
	for _, o := range candidates {
		err := p.manager.GetClient().Get(ctx, key, o)
		if client.IgnoreNotFound(err) != nil {
			return policy.Target{}, false, fmt.Errorf("read %T %s: %w", o, key, err)
		}
		if err != nil {
			continue
		}
		var kind schema.GroupVersionKind
		if kind, err = p.manager.GetClient().GroupVersionKindFor(o); err != nil {
			return policy.Target{}, false, err
		}
		return policy.TargetOf(kind.GroupKind(), o), true, nil
	}
	return policy.Target{}, false, nil
}

// audience is that of tokens for a sink of ours; empty while nobody is asked, and for any other sink.
func (p *process) audience(ctx context.Context, sink string) string {
	u, err := url.Parse(sink)
	if err != nil || !p.features.get().Enabled(config.AuthenticationOIDC) || !inside(u.Hostname(), p.ClusterDomain) {
		return ""
	}
	if _, channel := p.streams.Host(u.Hostname()); !channel && !p.jobs.Hosts(u.Hostname()) && !strings.HasPrefix(u.Hostname(), exposure.BrokerIngress+"."+exposure.Namespace+".") {
		return ""
	}
	t, ok, err := p.target(ctx, u.Host, u.Path)
	if err != nil || !ok {
		return ""
	}
	return t.Audience()
}
