package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/config"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/flow"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
	"ebb.dev/ebb/eventing/policy"
)

// prepare makes what everything else asks: the features, as whom objects send, the EventPolicies, and who may send.
func (p *process) prepare(ctx context.Context) error {
	p.features = &features{}
	c := p.manager.GetClient()
	p.accounts = &identity.Accounts{Client: c, Reader: p.manager.GetAPIReader(), Features: p.features.get, Changes: p.features.changes}
	p.tokens = &identity.Tokens{Client: c, Clock: clock.RealClock{}}
	p.policies = &policy.Reader{Client: c, Features: p.features.get, Changes: p.features.changes, Entrance: flow.EntranceOf}
	p.guard = &policy.Guard{
		Features: p.features.get, Policies: p.policies.In, Part: p.policies.Part, Log: p.Log,
		Subject: policy.NewVerifier(c, clock.RealClock{}).Subject,
		Target: func(r *http.Request) (policy.Target, bool, error) {
			return p.target(r.Context(), r.Host, r.URL.Path)
		},
	}
	return p.followFeatures(ctx)
}

// guarded lets requests through whose senders may send.
func (p *process) guarded(next http.Handler) http.Handler {
	p.guard.Next = next
	return p.guard
}

// mayReply says why a Trigger may not send the reply of its subscriber to the Broker that it reads. The reply never leaves this process, which
// knows whose it is: no token is asked for. While it is not known yet, which it is not for a moment when senders begin to be asked, the reply
// waits.
func (p *process) mayReply(ctx context.Context, r model.Reader, reply *event.Event) error {
	if !p.features.get().Enabled(config.AuthenticationOIDC) {
		return nil
	}
	id, _ := partition.Of(r.Stream)
	s, known := p.streams.Stream(id)
	if !known {
		return fmt.Errorf("stream %s: %w", r.Stream, dispatch.ErrNotYet)
	}
	t, found, err := p.found(ctx, s.Key, &eventingv1.Broker{})
	if err == nil && !found {
		err = fmt.Errorf("Broker %s: %w", s.Key, dispatch.ErrNotYet)
	}
	if err != nil {
		return err
	}
	switch err = p.guard.May(ctx, r.As.Subject(), t, reply); {
	case errors.Is(err, policy.ErrForbidden):
		return fmt.Errorf("%w: %w", dispatch.ErrMayNot, err)
	case errors.Is(err, policy.ErrPending), errors.Is(err, policy.ErrNobody):
		return fmt.Errorf("%w: %w", dispatch.ErrNotYet, err)
	}
	return err
}

// proofs are those by which this process says as whom it sends.
type proofs struct{ *process }

// Token implements send.Identity.
func (p proofs) Token(ctx context.Context, as model.Account, to model.Destination) (string, error) {
	audience := p.audienceOf(ctx, to)
	if audience == "" {
		return "", nil
	}
	return p.tokens.Get(ctx, as, audience)
}

// Doubted implements send.Identity.
func (p proofs) Doubted(ctx context.Context, as model.Account, to model.Destination, token string) bool {
	audience := p.audienceOf(ctx, to)
	if audience == "" || token == "" {
		return audience != "" // it has begun to ask meanwhile
	}
	return p.tokens.Doubt(as, audience, token)
}

// audienceOf is that of the token for a destination; empty while nobody is asked. Receivers of this process ask as soon as the feature is on,
// before everybody who names them has learned their audience.
func (p *process) audienceOf(ctx context.Context, to model.Destination) string {
	switch {
	case !p.features.get().Enabled(config.AuthenticationOIDC):
		return ""
	case to.Audience != "":
		return to.Audience
	}
	return p.audience(ctx, to.URL)
}

// target finds what is reached by a host and a path; false if that is nothing of ours.
func (p *process) target(ctx context.Context, host, path string) (policy.Target, bool, error) {
	host = ingress.Hostname(host)
	if s, ok := p.streams.Host(host); ok {
		return p.channel(ctx, s)
	}
	var candidate client.Object = &eventingv1.Broker{}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if h := p.at(host); h != nil {
		candidate = h.kind.DeepCopyObject().(client.Object)
		if _, jobs := candidate.(*sinksv1alpha1.JobSink); jobs && len(parts) == 8 {
			parts = []string{parts[1], parts[3]}
		}
	}
	if len(parts) != 2 {
		return policy.Target{}, false, nil
	}
	return p.found(ctx, model.Key{Namespace: parts[0], Name: parts[1]}, candidate)
}

// channel finds what a stream with hosts of its own was made for. Channels of several kinds may have one name.
func (p *process) channel(ctx context.Context, s model.Stream) (policy.Target, bool, error) {
	for _, o := range []client.Object{&messagingv1.InMemoryChannel{}, &messagingv1alpha1.NatsJetStreamChannel{}, &messagingv1beta1.KafkaChannel{}} {
		t, ok, err := p.found(ctx, s.Key, o)
		if err != nil || ok && flow.StreamID(o.GetUID()) == s.ID {
			return t, ok, err
		}
	}
	return policy.Target{}, false, fmt.Errorf("channel %s has just been deleted or made anew; try again", s.Key)
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
		t, err := p.policies.Whole(ctx, policy.TargetOf(kind.GroupKind(), o))
		return t, err == nil, err
	}
	return policy.Target{}, false, nil
}

// audience is that of tokens for a sink of ours; empty for any other.
func (p *process) audience(ctx context.Context, sink string) string {
	u, err := url.Parse(sink)
	if err != nil || !inside(u.Hostname(), p.ClusterDomain) {
		return ""
	}
	if _, channel := p.streams.Host(u.Hostname()); !channel && p.at(u.Hostname()) == nil && !strings.HasPrefix(u.Hostname(), exposure.BrokerIngress+"."+exposure.Namespace+".") {
		return ""
	}
	t, ok, err := p.target(ctx, u.Host, u.Path)
	if err != nil || !ok {
		return ""
	}
	return t.Audience()
}
