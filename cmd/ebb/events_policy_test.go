package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/test/apiserver"
)

// graves is a dead letter sink that notes which events were given up, and why.
type graves struct {
	mu  sync.Mutex
	got []string
}

func (g *graves) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, fmt.Sprintf("%s:%s:%s", r.Header.Get("Ce-Id"), r.Header.Get("Ce-Knativeerrorcode"), r.Header.Get("Authorization")))
	w.WriteHeader(http.StatusAccepted)
}

func (g *graves) all() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.got, " ")
}

// bounded is a broker process, Brokers default/inbox and other/outbox, and a Trigger of the second that delivers to the first.
type bounded struct {
	*steered
	graves graves
	// forward leads from outbox to inbox, parrot reads inbox from namespace other and is answered by its subscriber.
	forward, parrot *eventingv1.Trigger
}

func bound(t *testing.T) *bounded {
	b := &bounded{steered: steer(t)}
	// What a gateway does for hosts inside the cluster, as far as this broker is what they lead to.
	b.flags = []string{"--gateway", b.listen}
	subscriber, buried := httptest.NewServer(b), httptest.NewServer(&b.graves)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{"Specversion": "1.0", "Id": "echo-of-" + r.Header.Get("Ce-Id"), "Source": "/parrot", "Type": "echo"} {
			w.Header().Set("Ce-"+name, value)
		}
	}))
	t.Cleanup(func() {
		subscriber.Close()
		buried.Close()
		echo.Close()
	})
	letters := &duck.DeliverySpec{DeadLetterSink: &duck.Destination{URI: &buried.URL}}
	meta := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name}
	}
	b.forward = &eventingv1.Trigger{ObjectMeta: meta("other", "forward"), Spec: eventingv1.TriggerSpec{
		Broker: "outbox", Delivery: letters,
		Subscriber: duck.Destination{Ref: &duck.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Namespace: "default", Name: "inbox"}},
	}}
	b.parrot = &eventingv1.Trigger{ObjectMeta: meta("other", "parrot"), Spec: eventingv1.TriggerSpec{
		BrokerRef: &duck.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Namespace: "default", Name: "inbox"}, Delivery: letters,
		Subscriber: duck.Destination{URI: &echo.URL}, Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "question"}},
	}}
	b.create(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}},
		&corev1.ServiceAccount{ObjectMeta: meta("other", "till")},
		&eventingv1.Broker{ObjectMeta: meta("default", "inbox")}, &eventingv1.Broker{ObjectMeta: meta("other", "outbox")},
		b.forward, b.parrot,
		&eventingv1.Trigger{ObjectMeta: meta("default", "shown"), Spec: eventingv1.TriggerSpec{Broker: "inbox", Subscriber: duck.Destination{URI: &subscriber.URL}}},
	)
	return b
}

func (b *bounded) create(objects ...client.Object) {
	b.t.Helper()
	for _, o := range objects {
		if err := b.api.Create(b.t.Context(), o); err != nil {
			b.t.Fatal(err)
		}
	}
}

// asks turns the feature on or off.
func (b *bounded) asks(state string) {
	b.t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: eventing.SystemNamespace, Name: "config-features"}}
	err := b.api.Get(b.t.Context(), client.ObjectKeyFromObject(m), m)
	m.Data = map[string]string{"authentication-oidc": state}
	if err != nil {
		err = b.api.Create(b.t.Context(), m)
	} else {
		err = b.api.Update(b.t.Context(), m)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// offer sends an event to other/outbox, as other/till or without saying who, and returns the answer.
func (b *bounded) offer(ctx context.Context, id, kind string, token bool) int {
	as := ""
	if token {
		as = "other/till"
	}
	return b.offerTo(ctx, target{"broker-ingress.knative-eventing.svc.cluster.local", "/other/outbox", "eventing.knative.dev/broker/other/outbox"}, id, kind, as)
}

// target is something that takes events: what it is reached by, and the audience of tokens for it.
type target struct{ host, path, audience string }

// offerTo sends an event as an account, "" for nobody, and returns the answer.
func (b *bounded) offerTo(ctx context.Context, to target, id, kind, as string) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.listen+to.path, strings.NewReader("hello"))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Host = to.host
	for name, value := range map[string]string{"Specversion": "1.0", "Id": id, "Source": "/me", "Type": kind} {
		r.Header.Set("Ce-"+name, value)
	}
	if namespace, name, given := strings.Cut(as, "/"); given {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{to.audience}}}
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if err := b.api.SubResource("token").Create(ctx, account, request); err != nil {
			b.t.Error(err)
		}
		r.Header.Set("Authorization", "Bearer "+request.Status.Token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

func (b *bounded) takes(id, kind string, token bool) {
	b.t.Helper()
	apiserver.Eventually(b.t, "event "+id+" is taken", func(ctx context.Context) bool { return b.offer(ctx, id, kind, token) == http.StatusAccepted })
}

// sends waits until an object says as whom it sends.
func (b *bounded) sends(what string, o client.Object, auth func() *duck.AuthStatus, want string) {
	b.t.Helper()
	apiserver.Eventually(b.t, what, func(ctx context.Context) bool {
		if b.api.Get(ctx, client.ObjectKeyFromObject(o), o) != nil {
			return false
		}
		name := ""
		if a := auth(); a != nil {
			name = ptr.Deref(a.ServiceAccountName, "")
		}
		return name == want
	})
}

func (b *bounded) accounts() []string {
	var list corev1.ServiceAccountList
	if err := b.api.List(b.t.Context(), &list, client.HasLabels{"eventing.knative.dev/oidc"}); err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Namespace+"/"+list.Items[i].Name+"="+string(list.Items[i].UID))
	}
	return out
}

func TestNobodySendsPastAnEventPolicyByATriggerOrASource(t *testing.T) {
	b := bound(t)
	b.start()
	apiserver.Eventually(t, "all Triggers read", func(context.Context) bool {
		var triggers []broker.TriggerState
		b.must(&triggers, "triggers", "-A")
		return len(triggers) == 3
	})
	b.takes("1", "letter", false)
	b.gets("1")
	if got := b.accounts(); len(got) > 0 || b.forward.Status.Auth != nil {
		t.Errorf("nobody is asked, and there are accounts: %v", got)
	}

	b.asks("enabled")
	auth := func() *duck.AuthStatus { return b.forward.Status.Auth }
	b.sends("the Trigger has an account", b.forward, auth, "forward-oidc-eventing.knative.dev-trigger")
	if !b.forward.Status.GetCondition(eventingv1.TriggerConditionOIDCIdentityCreated).IsTrue() {
		t.Errorf("%+v", b.forward.Status.Conditions)
	}
	if code := b.offer(t.Context(), "x", "letter", false); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
	sink := &eventingv1alpha1.KafkaSink{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "letters"}}
	sink.Spec.Topic, sink.Spec.BootstrapServers = "letters", []string{"127.0.0.1:1"}
	b.create(sink)
	apiserver.Eventually(t, "a KafkaSink says for whom tokens have to be", func(ctx context.Context) bool {
		return b.api.Get(ctx, client.ObjectKeyFromObject(sink), sink) == nil && sink.Status.Address != nil &&
			ptr.Deref(sink.Status.Address.Audience, "") == "eventing.knative.dev/kafkasink/default/letters"
	})
	topic := target{"kafka-sink-ingress.knative-eventing.svc.cluster.local", "/default/letters", *sink.Status.Address.Audience}
	if code := b.offerTo(t.Context(), topic, "x", "letter", ""); code != http.StatusUnauthorized {
		t.Errorf("a KafkaSink without a token: %d", code)
	}
	if code := b.offerTo(t.Context(), topic, "x", "letter", "other/till"); code != http.StatusForbidden {
		t.Errorf("a KafkaSink from another namespace: %d", code)
	}
	b.takes("2", "letter", true)
	apiserver.Eventually(t, "a Trigger of another namespace is refused", func(context.Context) bool { return b.graves.all() == "2:403:" })

	ping := &sourcesv1.PingSource{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "p"}}
	ping.Spec.Schedule, ping.Spec.Sink = "* * * * * *", b.forward.Spec.Subscriber
	policy := &eventingv1alpha1.EventPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "inbox"}}
	policy.Spec.To = []eventingv1alpha1.EventPolicySpecTo{{Ref: &eventingv1alpha1.EventPolicyToReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Name: "inbox"}}}
	policy.Spec.From = []eventingv1alpha1.EventPolicySpecFrom{
		{Ref: &eventingv1alpha1.EventPolicyFromReference{APIVersion: "eventing.knative.dev/v1", Kind: "Trigger", Namespace: "other", Name: "forward"}},
	}
	b.create(ping, policy)
	apiserver.Eventually(t, "the policy knows the Trigger's account", func(ctx context.Context) bool {
		return b.api.Get(ctx, client.ObjectKeyFromObject(policy), policy) == nil && policy.IsReady() &&
			policy.Status.From[0] == "system:serviceaccount:other:forward-oidc-eventing.knative.dev-trigger"
	})
	apiserver.Eventually(t, "a source that no policy names is refused", func(context.Context) bool { return strings.Contains(b.said(), "answered 403") })
	b.takes("3", "letter", true)
	b.gets("1 3")
	b.takes("4", "question", true)
	apiserver.Eventually(t, "a reply that no policy lets into the Broker is refused", func(context.Context) bool { return b.graves.all() == "2:403: 4:403:" })
	b.gets("1 3 4")
	policy.Spec.From = append(policy.Spec.From,
		eventingv1alpha1.EventPolicySpecFrom{Ref: &eventingv1alpha1.EventPolicyFromReference{APIVersion: "sources.knative.dev/v1", Kind: "PingSource", Namespace: "other", Name: "p"}},
		eventingv1alpha1.EventPolicySpecFrom{Sub: ptr.To("system:serviceaccount:other:parrot-*")})
	if err := b.api.Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "a source that is named passes", func(context.Context) bool { return strings.Contains(b.received(), "ping/other/p-") })
	b.takes("5", "question", true)
	apiserver.Eventually(t, "a reply that is let in arrives", func(context.Context) bool { return strings.Contains(b.received(), "echo-of-5") })

	b.asks("disabled")
	b.sends("the Trigger has no account any more", b.forward, auth, "")
	apiserver.Eventually(t, "there are no accounts", func(context.Context) bool { return len(b.accounts()) == 0 })
	b.takes("6", "letter", false)
	apiserver.Eventually(t, "all is as before", func(context.Context) bool { return strings.Contains(b.received(), " 6") })
	if got := b.graves.all(); got != "2:403: 4:403:" {
		t.Errorf("given up: %s", got)
	}
}

// With the feature on from the beginning, and across a restart.
func TestTheStepsOfASequenceSendToItsOwnChannelsWhateverPoliciesSay(t *testing.T) {
	b := bound(t)
	b.asks("enabled")
	step := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{"Specversion": "1.0", "Id": r.Header.Get("Ce-Id") + "+", "Source": "/step", "Type": "letter"} {
			w.Header().Set("Ce-"+name, value)
		}
	}))
	end := httptest.NewServer(b)
	t.Cleanup(func() {
		step.Close()
		end.Close()
	})
	meta := metav1.ObjectMeta{Namespace: "default", Name: "s"}
	s := &flowsv1.Sequence{ObjectMeta: meta}
	s.Spec.ChannelTemplate = &duck.ChannelTemplateSpec{TypeMeta: metav1.TypeMeta{APIVersion: "messaging.knative.dev/v1", Kind: "InMemoryChannel"}}
	for range 2 {
		s.Spec.Steps = append(s.Spec.Steps, flowsv1.SequenceStep{Destination: duck.Destination{URI: &step.URL}})
	}
	s.Spec.Reply = &duck.Destination{URI: &end.URL}
	// It applies to the Sequence, and so to the first of its channels alone: the others are left to the default, which is nobody.
	policy := &eventingv1alpha1.EventPolicy{ObjectMeta: meta}
	policy.Spec.To = []eventingv1alpha1.EventPolicySpecTo{{Ref: &eventingv1alpha1.EventPolicyToReference{APIVersion: "flows.knative.dev/v1", Kind: "Sequence", Name: "s"}}}
	policy.Spec.From = []eventingv1alpha1.EventPolicySpecFrom{{Sub: ptr.To("system:serviceaccount:other:till")}}
	features := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: eventing.SystemNamespace, Name: "config-features"}}
	if err := b.api.Get(t.Context(), client.ObjectKeyFromObject(features), features); err != nil {
		t.Fatal(err)
	}
	features.Data["default-authorization-mode"] = "deny-all"
	if err := b.api.Update(t.Context(), features); err != nil {
		t.Fatal(err)
	}
	b.create(s, policy, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "till"}})
	b.start()
	apiserver.Eventually(t, "the Sequence is ready, sends as its Subscriptions, and says which policy applies", func(ctx context.Context) bool {
		return b.api.Get(ctx, client.ObjectKeyFromObject(s), s) == nil && s.Status.Address != nil && s.Status.Address.Audience != nil &&
			s.Status.Auth != nil && len(s.Status.Auth.ServiceAccountNames) == 2 && len(s.Status.Policies) == 1
	})
	apiserver.Eventually(t, "its Subscriptions read", func(ctx context.Context) bool {
		var all messagingv1.SubscriptionList
		return b.api.List(ctx, &all) == nil && len(all.Items) == 2 && !slices.ContainsFunc(all.Items, func(s messagingv1.Subscription) bool {
			return !s.Status.GetCondition(messagingv1.SubscriptionConditionAddedToChannel).IsTrue()
		})
	})
	const host = "s-kn-sequence-%d-kn-channel.default.svc.cluster.local"
	first := target{fmt.Sprintf(host, 0), "/", *s.Status.Address.Audience}
	second := target{fmt.Sprintf(host, 1), "/", strings.Replace(*s.Status.Address.Audience, "-0", "-1", 1)}
	apiserver.Eventually(t, "who is named sends to the Sequence", func(ctx context.Context) bool {
		return b.offerTo(ctx, first, "1", "letter", "other/till") == http.StatusAccepted
	})
	b.gets("1++")
	for what, code := range map[string]int{
		"who is not named, to the Sequence":      b.offerTo(t.Context(), first, "2", "letter", "default/till"),
		"who is named, into the midst of it":     b.offerTo(t.Context(), second, "3", "letter", "other/till"),
		"who is not named, into the midst of it": b.offerTo(t.Context(), second, "4", "letter", "default/till"),
	} {
		if code != http.StatusForbidden {
			t.Errorf("%s: %d", what, code)
		}
	}
	before := b.accounts()
	b.stop()
	b.start()
	apiserver.Eventually(t, "it takes events again", func(ctx context.Context) bool {
		return b.offerTo(ctx, first, "5", "letter", "other/till") == http.StatusAccepted
	})
	b.gets("1++ 5++")
	if after := b.accounts(); len(before) != 5 || !slices.Equal(before, after) {
		t.Errorf("accounts before a restart %v, after it %v", before, after)
	}
}
