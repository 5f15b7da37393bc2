package flow

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/model"
)

// natsChannel is one whose spec is the JSON given.
func natsChannel(t *testing.T, spec string) *messagingv1alpha1.NatsJetStreamChannel {
	t.Helper()
	c := &messagingv1alpha1.NatsJetStreamChannel{ObjectMeta: named("letters")}
	if err := json.Unmarshal([]byte(spec), &c.Spec); err != nil {
		t.Fatal(err)
	}
	return c
}

func configured(fields string) string { return `{"stream": {"config": {` + fields + `}}}` }

func template(fields string) string { return `{"consumerConfigTemplate": {` + fields + `}}` }

const natsAddress = "http://letters-kn-jsm-channel.shop.svc.cluster.local"

func TestANATSChannelsStreamIsWhatItAsksFor(t *testing.T) {
	day := 24 * time.Hour
	tests := []struct {
		name, spec string
		want       model.Limits
	}{
		{"nothing", `{}`, broker.Limits},
		{"an empty config", configured(``), broker.Limits},
		{
			"limits", configured(`"retention": "Limits", "maxAge": "24h", "maxBytes": 5000, "maxMsgSize": 100, "duplicateWindow": "10s"`),
			model.Limits{Age: day, Bytes: 5000, Event: 100, Dedupe: 10 * time.Second},
		},
		{"old ones go first", configured(`"discard": "Old", "maxBytes": 5000`), model.Limits{Bytes: 5000, Dedupe: 2 * time.Minute}},
		{"new ones are refused when it is full", configured(`"discard": "New", "maxBytes": 5000`), model.Limits{Bytes: 5000, Unread: 5000, Dedupe: 2 * time.Minute}},
		{"what everybody has read goes", configured(`"retention": "Interest", "maxAge": "24h"`), model.Limits{Age: 1, Dedupe: 2 * time.Minute}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := NATSStreamOf(natsChannel(t, tt.spec), "cluster.local")
			want := model.Stream{
				ID: "channel.uid-letters", Kind: model.Channel, Key: model.Key{Namespace: "shop", Name: "letters"}, Limits: tt.want,
				Hosts: []string{"letters-kn-jsm-channel.shop.svc.cluster.local", "letters-kn-jsm-channel.shop.svc", "letters-kn-jsm-channel.shop"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatANATSChannelSays(t *testing.T) {
	const stream, consumers = messagingv1alpha1.NatsJetStreamChannelConditionStreamReady, messagingv1alpha1.NatsJetStreamChannelConditionDispatcherReady
	well := ChannelState{Reached: true}
	tests := []struct {
		name, spec string
		state      ChannelState
		ready      string
		about      conditions.Type
		is, words  string
	}{
		{"all is well", `{}`, well, "True", stream, "True", ""},
		{"what is served is not talked about", configured(`"retention": "Interest", "storage": "File", "replicas": 1, "maxBytes": 5000, "discard": "New"`), well, "True", stream, "True", ""},
		{"it is kept on disk all the same", configured(`"storage": "Memory", "noAck": true`), well, "True", stream, "True", "FieldsWithoutEffect spec.stream.config.storage: events are kept on disk all the same; spec.stream.config.noAck"},
		{"events are not counted", configured(`"maxMsgs": 10`), well, "True", stream, "True", "spec.stream.config.maxMsgs: events are not counted"},
		{"any number may read", configured(`"maxConsumers": 1`), well, "True", stream, "True", "spec.stream.config.maxConsumers"},
		{"its name is its own", `{"stream": {"overrideName": "LETTERS"}}`, well, "True", stream, "True", "spec.stream.overrideName"},
		{"there are no work queues", configured(`"retention": "Work"`), well, "False", stream, "False", "NotServed spec.stream.config.retention: Work is not served; use Interest"},
		{"there are no copies", configured(`"replicas": 3`), well, "False", stream, "False", "spec.stream.config.replicas: 3 copies are not made"},
		{"it is where the log is", configured(`"placement": {"cluster": "eu"}`), well, "False", stream, "False", "spec.stream.config.placement"},
		{"it mirrors nothing", configured(`"mirror": {"name": "A"}`), well, "False", stream, "False", "spec.stream.config.mirror"},
		{"it gathers nothing", configured(`"sources": [{"name": "A"}]`), well, "False", stream, "False", "spec.stream.config.sources"},
		{"it hears nothing else", configured(`"additionalSubjects": ["a.b"]`), well, "False", stream, "False", "spec.stream.config.additionalSubjects"},
		{"how events get to the dispatcher is Ebb's", template(`"consumerType": "Pull", "fetchBatchSize": 5, "ackWait": "5s"`), well, "True", consumers, "True", ""},
		{"nobody waits", template(`"replayPolicy": "Original"`), well, "True", consumers, "True", "spec.consumerConfigTemplate.replayPolicy"},
		{"the rate is said elsewhere", template(`"rateLimitBPS": 1000, "sampleFrequency": "30%"`), well, "True", consumers, "True", "eventing.ebb.dev/rate"},
		{"there are no subjects", template(`"filterSubject": "a.>"`), well, "False", consumers, "False", "NotServed spec.consumerConfigTemplate.filterSubject: events have no subjects"},
		{"a place that is not said", template(`"deliverPolicy": "ByStartSequence"`), well, "False", consumers, "False", "optStartSeq: give the position"},
		{"a time that is not said", template(`"deliverPolicy": "ByStartTime"`), well, "False", consumers, "False", "optStartTime: give the time"},
		{"nothing can be stored", `{}`, ChannelState{Reached: true, Stored: errors.New("disk full")}, "False", stream, "False", "disk full"},
		{"no gateway leads here", `{}`, ChannelState{Why: "no gateway has answered"}, "Unknown", messagingv1alpha1.NatsJetStreamChannelConditionChannelServiceReady, "Unknown", "no gateway has answered"},
		{"its Service is somebody else's", `{}`, ChannelState{Exposed: errors.New("not Ebb's")}, "False", messagingv1alpha1.NatsJetStreamChannelConditionChannelServiceReady, "False", "not Ebb's"},
		{"the dead letter sink is missing", `{}`, ChannelState{Reached: true, DeadLetter: notFound("no grave")}, "False", messagingv1alpha1.NatsJetStreamChannelConditionDeadLetterSinkResolved, "False", "no grave"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := NATSChannelInput{ChannelState: tt.state, Channel: natsChannel(t, tt.spec)}
			in.ClusterDomain, in.Now = "cluster.local", now
			got := DecideNATSChannel(in)
			says(t, &got.Status, conditions.Ready, tt.ready, "")
			says(t, &got.Status, tt.about, tt.is, tt.words)
			if c := got.Status.GetCondition(tt.about); tt.words == "" && (c.Reason != "" || c.Message != "") {
				t.Errorf("%s has something to say: %+v", tt.about, c)
			}
			if tt.state.Exposed == nil && (got.Address == nil || got.Address.URL != natsAddress) || tt.state.Exposed != nil && got.Address != nil {
				t.Errorf("address %+v", got.Address)
			}
		})
	}
}

func TestASubscriptionReadsANATSChannelAsItsTemplateSays(t *testing.T) {
	since := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	usual := model.Delivery{Backoff: model.Exponential, Timeout: 5 * time.Minute}
	tests := []struct {
		name, spec, own string
		annotations     map[string]string
		start           model.Start
		concurrency     int
		delivery        model.Delivery
	}{
		{
			"no delivery at all: as a Trigger's", template(`"ackWait": "30s"`), `null`, nil, model.Start{Earliest: true}, 0,
			model.Delivery{Retry: 10, Delay: 200 * time.Millisecond, Backoff: model.Exponential, Timeout: 30 * time.Second},
		},
		{"nothing: from the oldest", `{}`, `{}`, nil, model.Start{Earliest: true}, 0, usual},
		{"all", template(`"deliverPolicy": "All"`), `{}`, nil, model.Start{Earliest: true}, 0, usual},
		{"new ones", template(`"deliverPolicy": "New"`), `{}`, nil, model.Start{}, 0, usual},
		{"the last one", template(`"deliverPolicy": "Last"`), `{}`, nil, model.Start{Last: true}, 0, usual},
		{"a position", template(`"deliverPolicy": "ByStartSequence", "optStartSeq": 7`), `{}`, nil, model.Start{Position: 7}, 0, usual},
		{"a time", template(`"deliverPolicy": "ByStartTime", "optStartTime": "2026-11-01T00:00:00Z"`), `{}`, nil, model.Start{Since: since}, 0, usual},
		{"an annotation wins", template(`"deliverPolicy": "New", "maxAckPending": 9`), `{}`, map[string]string{broker.StartKey: "earliest", broker.ConcurrencyKey: "2"}, model.Start{Earliest: true}, 2, usual},
		{
			"attempts", template(`"ackWait": "1m30s", "maxDeliver": 4, "maxAckPending": 1`), `{}`, nil, model.Start{Earliest: true}, 1,
			model.Delivery{Retry: 3, Backoff: model.Exponential, Timeout: 90 * time.Second},
		},
		{"attempts without end are none", template(`"maxDeliver": -1, "maxAckPending": -1`), `{}`, nil, model.Start{Earliest: true}, 0, usual},
		{
			"its own delivery wins", template(`"ackWait": "30s", "maxDeliver": 4`), `{"timeout": "PT5S"}`, nil, model.Start{Earliest: true}, 0,
			model.Delivery{Retry: 3, Backoff: model.Exponential, Timeout: 5 * time.Second},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &messagingv1.Subscription{ObjectMeta: named("show")}
			s.Annotations = tt.annotations
			if err := json.Unmarshal([]byte(tt.own), &s.Spec.Delivery); err != nil {
				t.Fatal(err)
			}
			got := DecideSubscription(SubscriptionInput{Subscription: s, Channel: channelableOfNATS(natsChannel(t, tt.spec)), Subscriber: found("http://a"), Now: now})
			says(t, &got.Status.Status, messagingv1.SubscriptionConditionAddedToChannel, "True", "")
			if got.Reader.Start != tt.start || got.Reader.Concurrency != tt.concurrency || got.Reader.Stream != "channel.uid-letters" {
				t.Errorf("reader %+v", got.Reader)
			}
			if diff := cmp.Diff(tt.delivery, got.Reader.Delivery); diff != "" {
				t.Errorf("delivery (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAReaderThatANATSChannelCannotHavePausesAndIsTold(t *testing.T) {
	c := natsChannel(t, template(`"filterSubject": "a.>"`))
	s := &messagingv1.Subscription{ObjectMeta: named("show")}
	got := DecideSubscription(SubscriptionInput{Subscription: s, Channel: channelableOfNATS(c), Subscriber: found("http://a"), Now: now})
	says(t, &got.Status.Status, messagingv1.SubscriptionConditionAddedToChannel, "False", "filterSubject")
	if got.Reader == nil || !got.Reader.Paused || got.Reader.Subscriber.URL != "" {
		t.Errorf("reader %+v", got.Reader)
	}
}

// natsTemplate is a channelTemplate of NATS.
func natsTemplate(spec string) *duck.ChannelTemplateSpec {
	return &duck.ChannelTemplateSpec{
		TypeMeta: metav1.TypeMeta{APIVersion: "messaging.knative.dev/v1alpha1", Kind: "NatsJetStreamChannel"}, Spec: &runtime.RawExtension{Raw: []byte(spec)},
	}
}

func TestAChannelOfNATSIsReadAndDropped(t *testing.T) {
	c := &messagingv1.Channel{ObjectMeta: named("orders")}
	c.Spec.ChannelTemplate = natsTemplate(configured(`"maxAge": "1h"`))
	s := &messagingv1.Subscription{ObjectMeta: named("show"), Spec: messagingv1.SubscriptionSpec{
		Channel: duck.KReference{APIVersion: "messaging.knative.dev/v1", Kind: "Channel", Name: "orders"}, Subscriber: to("event-display"),
	}}
	// One in memory of the same name has a stream, a Service and a route of its own.
	other := &messagingv1.InMemoryChannel{ObjectMeta: named("orders")}
	r := newRoom(t, c, s, other, service("event-display"))
	r.settle()
	var backing messagingv1alpha1.NatsJetStreamChannel
	r.get("orders", &backing)
	r.get("orders", c)
	r.get("show", s)
	for _, status := range []*conditions.Status{&backing.Status.Status, &c.Status.Status, &s.Status.Status} {
		says(t, status, conditions.Ready, "True", "")
	}
	if got := c.Status.Address; got == nil || got.URL != "http://orders-kn-jsm-channel.shop.svc.cluster.local" {
		t.Errorf("address %+v", got)
	}
	if listed := backing.Status.Subscribers; len(listed) != 1 || listed[0].UID != s.UID || listed[0].Ready != corev1.ConditionTrue {
		t.Errorf("status.subscribers %+v", listed)
	}
	stream := r.streams[StreamID(backing.UID)]
	if stream.Limits.Age != time.Hour || r.readers[ReaderIDOf(s)].Stream != stream.ID || len(r.streams) != 2 {
		t.Errorf("streams %+v, readers %+v", r.streams, r.readers)
	}
	for _, name := range []string{"orders-kn-jsm-channel", "orders-kn-channel"} {
		r.get(name, &corev1.Service{})
	}
	if err := r.Client.Delete(t.Context(), &backing); err != nil {
		t.Fatal(err)
	}
	if _, err := r.NatsJetStreamChannel(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&backing)}); err != nil {
		t.Fatal(err)
	}
	if _, there := r.streams[StreamID(other.UID)]; len(r.streams) != 1 || !there {
		t.Errorf("streams %v, want the one in memory alone", r.streams)
	}
}

func TestASequenceOfNATSHasNoMoreStepsThanItSays(t *testing.T) {
	s := &flowsv1.Sequence{ObjectMeta: named("order"), Spec: flowsv1.SequenceSpec{
		ChannelTemplate: natsTemplate(`{}`), Steps: []flowsv1.SequenceStep{{Destination: *to("one")}, {Destination: *to("two")}},
	}}
	r := newRoom(t, s, service("one"), service("two"))
	r.settle()
	r.get("order", s)
	says(t, &s.Status.Status, conditions.Ready, "True", "")
	s.Spec.Steps = s.Spec.Steps[:1]
	if err := r.Client.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r.settle()
	var channels messagingv1alpha1.NatsJetStreamChannelList
	if err := r.Client.List(t.Context(), &channels); err != nil {
		t.Fatal(err)
	}
	if got := namesOf(channels.Items); len(got) != 1 || got[0].Name != "order-kn-sequence-0" {
		t.Errorf("channels %v", got)
	}
}

// TestConditionsOfChannelsHaveTheSameNames is what ChannelState.state relies on.
func TestConditionsOfChannelsHaveTheSameNames(t *testing.T) {
	state := ChannelState{Reached: true, ClusterDomain: "cluster.local", Now: now}
	nats := DecideNATSChannel(NATSChannelInput{ChannelState: state, Channel: natsChannel(t, `{}`)})
	kafka := DecideKafkaChannel(KafkaChannelInput{ChannelState: state, Channel: theKafkaChannel(), Settings: theSettings()})
	for name, all := range map[string][]conditions.Condition{"NatsJetStreamChannel": nats.Conditions, "KafkaChannel": kafka.Conditions} {
		var types []string
		for _, c := range all {
			types = append(types, string(c.Type))
		}
		for _, want := range []string{"Addressable", "ChannelServiceReady", "DeadLetterSinkResolved", "EventPoliciesReady", "Ready"} {
			if !slices.Contains(types, want) {
				t.Errorf("%s has %s, not %s", name, strings.Join(types, " "), want)
			}
		}
	}
}
