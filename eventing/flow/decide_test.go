package flow

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/model"
)

var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

const address = "http://orders-kn-channel.shop.svc.cluster.local"

func found(url string) destination.Found {
	return destination.Found{Resolved: destination.Resolved{URL: url}}
}

func notFound(message string) destination.Found {
	return destination.Found{Err: &destination.Unresolved{Reason: "NotFound", Message: message}}
}

// says checks a condition and, where words are given, what it says.
func says(t *testing.T, s *conditions.Status, about conditions.Type, want string, words string) {
	t.Helper()
	c := s.GetCondition(about)
	if c == nil || string(c.Status) != want || !strings.Contains(c.Reason+" "+c.Message, words) {
		t.Errorf("%s is %+v, want %s with %q", about, c, want, words)
	}
}

func theMemoryChannel(change func(*messagingv1.InMemoryChannel)) *messagingv1.InMemoryChannel {
	c := &messagingv1.InMemoryChannel{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "c1", Generation: 2}}
	if change != nil {
		change(c)
	}
	c.Status = DecideInMemoryChannel(InMemoryChannelInput{Channel: c, ChannelState: ChannelState{Reached: true, ClusterDomain: "cluster.local", Now: now}})
	return c
}

func TestAChannelsStreamIsReachedByItsHosts(t *testing.T) {
	c := theMemoryChannel(nil)
	want := model.Stream{
		ID: "channel.c1", Kind: model.Channel, Key: model.Key{Namespace: "shop", Name: "orders"},
		Hosts: []string{"orders-kn-channel.shop.svc.cluster.local", "orders-kn-channel.shop.svc", "orders-kn-channel.shop"}, Limits: broker.Limits,
	}
	if diff := cmp.Diff(want, StreamOf(c, "cluster.local")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	service, route := ExposureOf(inMemoryChannelKind, c, "gateway.example", "cluster.local")
	to := route.Spec.Rules[0].HTTP.Paths[0].Splits[0]
	if service.Name != "orders-kn-channel" || service.Spec.ExternalName != "gateway.example" || !metav1.IsControlledBy(service, c) {
		t.Errorf("Service %+v", service)
	}
	if route.Name != service.Name || to.ServiceNamespace != "knative-eventing" || to.ServiceName != "ebb-events" || !metav1.IsControlledBy(route, c) {
		t.Errorf("route %+v", route)
	}
	if diff := cmp.Diff(want.Hosts, route.Spec.Rules[0].Hosts); diff != "" {
		t.Errorf("the stream's hosts and the route's differ (-stream +route):\n%s", diff)
	}
}

func TestWhatAnInMemoryChannelSays(t *testing.T) {
	tests := []struct {
		name  string
		in    InMemoryChannelInput
		ready string
		about conditions.Type
		is    string
		words string
	}{
		{"all is well", InMemoryChannelInput{ChannelState: ChannelState{Reached: true}}, "True", messagingv1.InMemoryChannelConditionDispatcherReady, "True", ""},
		{"nothing can be stored", InMemoryChannelInput{ChannelState: ChannelState{Reached: true, Stored: errors.New("disk full")}}, "False", messagingv1.InMemoryChannelConditionEndpointsReady, "False", "disk full"},
		{"its Service is somebody else's", InMemoryChannelInput{ChannelState: ChannelState{Exposed: errors.New("is there and not Ebb's")}}, "False", messagingv1.InMemoryChannelConditionChannelServiceReady, "False", "not Ebb's"},
		{"no gateway leads here", InMemoryChannelInput{ChannelState: ChannelState{Why: "no gateway has answered"}}, "Unknown", messagingv1.InMemoryChannelConditionChannelServiceReady, "Unknown", "no gateway has answered"},
		{"the dead letter sink is missing", InMemoryChannelInput{ChannelState: ChannelState{Reached: true, DeadLetter: notFound("Service shop/graves does not exist")}}, "False", messagingv1.InMemoryChannelConditionDeadLetterSinkResolved, "False", "graves does not exist"},
		{"there is no dead letter sink", InMemoryChannelInput{ChannelState: ChannelState{Reached: true}}, "True", messagingv1.InMemoryChannelConditionDeadLetterSinkResolved, "True", "DeadLetterSinkNotConfigured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Channel, tt.in.ClusterDomain, tt.in.Now = &messagingv1.InMemoryChannel{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}}, "cluster.local", now
			got := DecideInMemoryChannel(tt.in)
			says(t, &got.Status, conditions.Ready, tt.ready, "")
			says(t, &got.Status, tt.about, tt.is, tt.words)
			if tt.in.Exposed == nil && got.Address.URL != address || tt.in.Exposed != nil && got.Address != nil {
				t.Errorf("address %+v", got.Address)
			}
		})
	}
}

func TestAChannelListsItsReaders(t *testing.T) {
	ready := messagingv1.Subscription{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "b", UID: "u2", Generation: 3}}
	ready.Status = DecideSubscription(SubscriptionInput{Subscription: &ready, Channel: channelableOf(theMemoryChannel(nil)), Subscriber: found("http://a"), Now: now}).Status
	lost := messagingv1.Subscription{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a", UID: "u1"}}
	lost.Status = DecideSubscription(SubscriptionInput{Subscription: &lost, Channel: channelableOf(theMemoryChannel(nil)), Subscriber: notFound("no such Service"), Now: now}).Status
	got := DecideInMemoryChannel(InMemoryChannelInput{Channel: theMemoryChannel(nil), ChannelState: ChannelState{Subscriptions: []messagingv1.Subscription{ready, lost}, Now: now}})
	want := []duck.SubscriberStatus{
		{UID: "u1", Ready: corev1.ConditionFalse, Message: "spec.subscriber: no such Service"},
		{UID: "u2", ObservedGeneration: 3, Ready: corev1.ConditionTrue},
	}
	if diff := cmp.Diff(want, got.Subscribers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAChannelSaysWhatItsBackingChannelSays(t *testing.T) {
	c := &messagingv1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", Generation: 1}}
	stale := channelableOf(theMemoryChannel(nil))
	stale.Generation++
	lost := theMemoryChannel(nil)
	lost.Status = DecideInMemoryChannel(InMemoryChannelInput{Channel: lost, ChannelState: ChannelState{Reached: true, ClusterDomain: "cluster.local", DeadLetter: notFound("no grave"), Now: now}})
	tests := []struct {
		name    string
		backing *Channelable
		err     error
		ready   string
		about   conditions.Type
		is      string
		words   string
	}{
		{"it is ready", channelableOf(theMemoryChannel(nil)), nil, "True", messagingv1.ChannelConditionDeadLetterSinkResolved, "True", "DeadLetterSinkNotConfigured"},
		{"it cannot be made", nil, errors.New("no matches for kind"), "False", messagingv1.ChannelConditionBackingChannelReady, "False", "no matches for kind"},
		{"it is new", &Channelable{ObjectMeta: metav1.ObjectMeta{Generation: 1}}, nil, "False", messagingv1.ChannelConditionBackingChannelReady, "Unknown", "BackingChannelNotConfigured"},
		{"its spec is not in effect", stale, nil, "Unknown", messagingv1.ChannelConditionBackingChannelReady, "Unknown", ""},
		{"its dead letter sink is missing", channelableOf(lost), nil, "False", messagingv1.ChannelConditionDeadLetterSinkResolved, "False", "no grave"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := DecideChannel(ChannelInput{Channel: c, Backing: tt.backing, Err: tt.err, Now: now})
			says(t, &got.Status, conditions.Ready, tt.ready, "")
			says(t, &got.Status, tt.about, tt.is, tt.words)
			if tt.backing == nil {
				return
			}
			if diff := cmp.Diff(tt.backing.Status.Address, got.Address); diff != "" {
				t.Errorf("address (-backing +got):\n%s", diff)
			}
			if got.Channel.Name != tt.backing.Name || got.Channel.Kind != tt.backing.Kind {
				t.Errorf("status.channel %+v", got.Channel)
			}
		})
	}
}

func TestWhatASubscriptionBecomes(t *testing.T) {
	const shown, replied = "http://event-display.shop.svc.cluster.local", "http://broker-ingress.knative-eventing.svc.cluster.local/shop/default"
	reader := model.Reader{
		ID: "subscription.s1", Kind: model.Subscription, Key: model.Key{Namespace: "shop", Name: "show"}, Stream: "channel.c1",
		Subscriber: model.Destination{URL: shown},
		Delivery:   model.Delivery{Retry: 10, Delay: 200 * time.Millisecond, Backoff: model.Exponential, Timeout: 5 * time.Minute},
	}
	with := func(change func(*model.Reader)) *model.Reader {
		r := reader
		change(&r)
		return &r
	}
	channel := channelableOf(theMemoryChannel(nil))
	waits := with(func(r *model.Reader) { r.Subscriber = model.Destination{} })
	tests := []struct {
		name     string
		delivery *duck.DeliverySpec
		in       SubscriptionInput
		want     *model.Reader
		ready    string
		about    conditions.Type
		is       string
		words    string
	}{
		{"all is well", nil, SubscriptionInput{Channel: channel, Subscriber: found(shown)}, &reader, "True", messagingv1.SubscriptionConditionAddedToChannel, "True", ""},
		{
			"answers go to the reply", nil, SubscriptionInput{Channel: channel, Subscriber: found(shown), Reply: found(replied)},
			with(func(r *model.Reader) { r.Reply.URL = replied }), "True", messagingv1.SubscriptionConditionReferencesResolved, "True", "",
		},
		{
			"without a subscriber the events themselves go to the reply", nil, SubscriptionInput{Channel: channel, Reply: found(replied)},
			with(func(r *model.Reader) { r.Subscriber.URL = replied }), "True", messagingv1.SubscriptionConditionReferencesResolved, "True", "",
		},
		{"without either it waits", nil, SubscriptionInput{Channel: channel}, waits, "False", messagingv1.SubscriptionConditionReferencesResolved, "False", "neither a subscriber nor a reply"},
		{
			"a subscriber that is missing leaves it in its place", nil, SubscriptionInput{Channel: channel, Subscriber: notFound("no such Service")},
			waits, "False", messagingv1.SubscriptionConditionReferencesResolved, "False", "SubscriberResolveFailed",
		},
		{
			"so does a reply that is missing", nil, SubscriptionInput{Channel: channel, Subscriber: found(shown), Reply: notFound("no such Broker")},
			waits, "False", messagingv1.SubscriptionConditionReferencesResolved, "False", "no such Broker",
		},
		{
			"and a dead letter sink, or events could be lost", nil, SubscriptionInput{Channel: channel, Subscriber: found(shown), DeadLetter: notFound("no grave")},
			waits, "False", messagingv1.SubscriptionConditionReferencesResolved, "False", "DeadLetterSinkResolveFailed",
		},
		{
			"without a channel there is nothing to read", nil, SubscriptionInput{NoChannel: errors.New("InMemoryChannel shop/orders does not exist"), Subscriber: found(shown)},
			nil, "False", messagingv1.SubscriptionConditionReferencesResolved, "False", "shop/orders does not exist",
		},
		{
			"a channel that is not ready is read already", nil,
			SubscriptionInput{Channel: &Channelable{ObjectMeta: metav1.ObjectMeta{UID: "c1", Generation: 1}}, Subscriber: found(shown)},
			&reader, "Unknown", messagingv1.SubscriptionConditionChannelReady, "Unknown", "ChannelNotReconciled",
		},
		{
			"who says something has no retries but those it asks for", &duck.DeliverySpec{Timeout: ptr.To("PT9S")}, SubscriptionInput{Channel: channel, Subscriber: found(shown)},
			with(func(r *model.Reader) {
				r.Delivery = model.Delivery{Backoff: model.Exponential, Timeout: 9 * time.Second}
			}),
			"True", messagingv1.SubscriptionConditionAddedToChannel, "True", "",
		},
		{
			"so does who leaves it to its channel", nil,
			SubscriptionInput{
				Channel: channelableOf(theMemoryChannel(func(c *messagingv1.InMemoryChannel) {
					c.Spec.Delivery = &duck.DeliverySpec{DeadLetterSink: &duck.Destination{}}
				})), Subscriber: found(shown), DeadLetter: found("http://graves"),
			},
			with(func(r *model.Reader) {
				r.Delivery = model.Delivery{Backoff: model.Exponential, Timeout: 5 * time.Minute, DeadLetter: model.Destination{URL: "http://graves"}}
			}), "True", messagingv1.SubscriptionConditionAddedToChannel, "True", "",
		},
		{
			"its own delivery wins over its channel's, field by field", &duck.DeliverySpec{Retry: ptr.To[int32](5)},
			SubscriptionInput{
				Channel: channelableOf(theMemoryChannel(func(c *messagingv1.InMemoryChannel) {
					c.Spec.Delivery = &duck.DeliverySpec{Retry: ptr.To[int32](1), BackoffDelay: ptr.To("PT2S")}
				})), Subscriber: found(shown), DeadLetter: found("http://graves"),
			},
			with(func(r *model.Reader) {
				r.Delivery = model.Delivery{Retry: 5, Backoff: model.Exponential, Delay: 2 * time.Second, Timeout: 5 * time.Minute, DeadLetter: model.Destination{URL: "http://graves"}}
			}), "True", messagingv1.SubscriptionConditionAddedToChannel, "True", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &messagingv1.Subscription{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "show", UID: "s1", Generation: 4}}
			s.Spec.Delivery = tt.delivery
			tt.in.Subscription, tt.in.Now = s, now
			got := DecideSubscription(tt.in)
			if diff := cmp.Diff(tt.want, got.Reader); diff != "" {
				t.Errorf("reader (-want +got):\n%s", diff)
			}
			says(t, &got.Status.Status, conditions.Ready, tt.ready, "")
			says(t, &got.Status.Status, tt.about, tt.is, tt.words)
			p := got.Status.PhysicalSubscription
			if ptr.Deref(p.SubscriberURI, "") != tt.in.Subscriber.URL || ptr.Deref(p.ReplyURI, "") != tt.in.Reply.URL || ptr.Deref(p.DeadLetterSinkURI, "") != tt.in.DeadLetter.URL {
				t.Errorf("physicalSubscription %+v", p)
			}
		})
	}
}

func TestADeliveryThatIsWrongPausesAndIsTold(t *testing.T) {
	s := &messagingv1.Subscription{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "show", UID: "s1"}}
	s.Spec.Delivery = &duck.DeliverySpec{Timeout: ptr.To("soon")}
	got := DecideSubscription(SubscriptionInput{Subscription: s, Channel: channelableOf(theMemoryChannel(nil)), Subscriber: found("http://a"), Now: now})
	says(t, &got.Status.Status, messagingv1.SubscriptionConditionAddedToChannel, "False", "soon")
	if got.Reader == nil || !got.Reader.Paused || got.Reader.Subscriber.URL != "" {
		t.Errorf("reader %+v", got.Reader)
	}
}

func TestAPausedSubscriptionSaysSo(t *testing.T) {
	s := &messagingv1.Subscription{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "show", UID: "s1", Annotations: map[string]string{broker.PausedKey: "true"}}}
	got := DecideSubscription(SubscriptionInput{Subscription: s, Channel: channelableOf(theMemoryChannel(nil)), Subscriber: found("http://a"), Now: now})
	says(t, &got.Status.Status, messagingv1.SubscriptionConditionAddedToChannel, "True", "nothing is delivered")
	if got.Reader == nil || !got.Reader.Paused || got.Reader.Subscriber.URL == "" {
		t.Errorf("reader %+v", got.Reader)
	}
}

func child(kind, name, status string) Child {
	c := Child{Ref: duck.KReference{Kind: kind, Namespace: "shop", Name: name}}
	if status != "" {
		c.Ready = &conditions.Condition{Type: conditions.Ready, Status: corev1.ConditionStatus(status), Message: "because"}
	}
	if kind == "InMemoryChannel" {
		c.Address = &duck.Addressable{URL: "http://" + name}
	}
	return c
}

func TestASequenceIsReadyWhenAllItsPartsAre(t *testing.T) {
	channels := func(second string) []Child {
		return []Child{child("InMemoryChannel", "c0", "True"), child("InMemoryChannel", "c1", second)}
	}
	subscriptions := []Child{child("Subscription", "s0", "True"), child("Subscription", "s1", "True")}
	tests := []struct {
		name  string
		in    SequenceInput
		ready string
		about conditions.Type
		is    string
		words string
	}{
		{"all are", SequenceInput{Channels: channels("True"), Subscriptions: subscriptions}, "True", flowsv1.SequenceConditionAddressable, "True", ""},
		{"a channel is not", SequenceInput{Channels: channels("False"), Subscriptions: subscriptions}, "Unknown", flowsv1.SequenceConditionChannelsReady, "Unknown", "InMemoryChannel shop/c1 is not ready: because"},
		{"a channel is new", SequenceInput{Channels: channels(""), Subscriptions: subscriptions}, "Unknown", flowsv1.SequenceConditionChannelsReady, "Unknown", "does not have Ready condition"},
		{
			"a Subscription is somebody else's", SequenceInput{Channels: channels("True"), Subscriptions: []Child{subscriptions[0], {Err: errors.New("does not belong")}}},
			"Unknown", flowsv1.SequenceConditionSubscriptionsReady, "Unknown", "does not belong",
		},
		{"the template is wrong", SequenceInput{Err: errors.New("spec.channelTemplate is wrong")}, "Unknown", flowsv1.SequenceConditionChannelsReady, "Unknown", "channelTemplate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Sequence, tt.in.Now = &flowsv1.Sequence{}, now
			got := DecideSequence(tt.in)
			says(t, &got.Status, conditions.Ready, tt.ready, "")
			says(t, &got.Status, tt.about, tt.is, tt.words)
			if len(got.ChannelStatuses) != len(tt.in.Channels) || len(got.SubscriptionStatuses) != len(tt.in.Subscriptions) {
				t.Errorf("statuses %+v", got)
			}
			if len(tt.in.Channels) > 0 && got.Address.URL != "http://c0" {
				t.Errorf("address %+v", got.Address)
			}
		})
	}
}

func TestAParallelShowsEachBranch(t *testing.T) {
	p := &flowsv1.Parallel{Spec: flowsv1.ParallelSpec{Branches: make([]flowsv1.ParallelBranch, 2)}}
	in := ParallelInput{
		Parallel: p, Now: now,
		Channels:      []Child{child("InMemoryChannel", "in", "True"), child("InMemoryChannel", "c0", "True"), child("InMemoryChannel", "c1", "True")},
		Subscriptions: []Child{child("Subscription", "f0", "True"), child("Subscription", "f1", "True"), child("Subscription", "s0", "True"), child("Subscription", "s1", "True")},
	}
	got := DecideParallel(in)
	says(t, &got.Status, conditions.Ready, "True", "")
	if got.Address.URL != "http://in" || got.IngressChannelStatus.Channel.Name != "in" {
		t.Errorf("ingress %+v at %+v", got.IngressChannelStatus, got.Address)
	}
	for i, want := range [][3]string{{"c0", "f0", "s0"}, {"c1", "f1", "s1"}} {
		b := got.BranchStatuses[i]
		if have := [3]string{b.FilterChannelStatus.Channel.Name, b.FilterSubscriptionStatus.Subscription.Name, b.SubscriptionStatus.Subscription.Name}; have != want {
			t.Errorf("branch %d: %v, want %v", i, have, want)
		}
	}
	in.Subscriptions[3] = child("Subscription", "s1", "False")
	got = DecideParallel(in)
	says(t, &got.Status, conditions.Ready, "False", "Subscription shop/s1 is not ready: because")
	if c := got.BranchStatuses[1].SubscriptionStatus.ReadyCondition; !c.IsFalse() {
		t.Errorf("branch 1 says %+v", c)
	}
}
