package broker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/model"
)

var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func theBroker(change func(*eventingv1.Broker)) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default", UID: "b1", Generation: 1}}
	b.Status = DecideBroker(BrokerInput{Broker: b, Reached: true, ClusterDomain: "cluster.local", Now: now})
	if change != nil {
		change(b)
	}
	return b
}

func theTrigger(change func(*eventingv1.Trigger)) *eventingv1.Trigger {
	t := &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shown", UID: "t1", Generation: 3, Annotations: map[string]string{}},
		Spec: eventingv1.TriggerSpec{
			Broker: "default", Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "order.created"}},
			Subscriber: duck.Destination{Ref: &duck.KReference{APIVersion: "v1", Kind: "Service", Name: "event-display"}},
		},
	}
	if change != nil {
		change(t)
	}
	return t
}

var display = destination.Found{Resolved: destination.Resolved{URL: "http://event-display.default.svc.cluster.local"}}

func TestWhatABrokerSays(t *testing.T) {
	tests := []struct {
		name  string
		in    BrokerInput
		ready string
		about conditions.Type
		words string
	}{
		{"all is well", BrokerInput{Reached: true}, "True", "", ""},
		{"nothing can be stored", BrokerInput{Reached: true, Stored: errors.New("disk full")}, "False", eventingv1.BrokerConditionTriggerChannel, "disk full"},
		{"no gateway leads here", BrokerInput{Why: "no gateway is connected yet"}, "Unknown", eventingv1.BrokerConditionIngress, "no gateway is connected yet"},
		{
			"the dead letter sink is missing", BrokerInput{Reached: true, DeadLetter: destination.Found{Err: &destination.Unresolved{Reason: "NotFound", Message: "Service default/graves does not exist"}}},
			"False", eventingv1.BrokerConditionDeadLetterSinkResolved, "graves does not exist",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Broker, tt.in.ClusterDomain, tt.in.Now = &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}, "cluster.local", now
			got := DecideBroker(tt.in)
			if c := got.GetCondition(conditions.Ready); string(c.Status) != tt.ready {
				t.Errorf("Ready %s: %s", c.Status, c.Message)
			}
			if tt.about != "" && !strings.Contains(got.GetCondition(tt.about).Message, tt.words) {
				t.Errorf("%s says %q", tt.about, got.GetCondition(tt.about).Message)
			}
			if got.Address.URL != "http://broker-ingress.knative-eventing.svc.cluster.local/default/default" {
				t.Errorf("address %s", got.Address.URL)
			}
		})
	}
}

func TestWhatATriggerBecomes(t *testing.T) {
	reader := model.Reader{
		ID: "trigger.t1", Kind: model.Trigger, Key: model.Key{Namespace: "default", Name: "shown"}, Stream: "broker.b1",
		Subscriber: model.Destination{URL: display.URL},
		Delivery:   model.Delivery{Backoff: model.Exponential, Timeout: defaultTimeout},
	}
	with := func(change func(*model.Reader)) *model.Reader {
		r := reader
		change(&r)
		return &r
	}
	missing := destination.Found{Err: &destination.Unresolved{Reason: "NotFound", Message: "Service default/event-display does not exist"}}
	tests := []struct {
		name    string
		trigger func(*eventingv1.Trigger)
		broker  *eventingv1.Broker
		in      TriggerInput
		want    *model.Reader
		ready   string
		about   conditions.Type
		words   string
	}{
		{"all is well", nil, theBroker(nil), TriggerInput{Subscriber: display}, &reader, "True", "", ""},
		{"without a broker", nil, nil, TriggerInput{Subscriber: display}, nil, "False", eventingv1.TriggerConditionBroker, `"default/default" does not exist`},
		{
			"without a subscriber it keeps its place", nil, theBroker(nil), TriggerInput{Subscriber: missing},
			with(func(r *model.Reader) { r.Subscriber = model.Destination{} }), "False", eventingv1.TriggerConditionSubscriberResolved, "does not exist",
		},
		{
			"its own delivery wins over its broker's, field by field",
			func(t *eventingv1.Trigger) {
				t.Spec.Delivery = &duck.DeliverySpec{Retry: ptr.To[int32](5), BackoffDelay: ptr.To("PT0.5S"), RetryAfterMax: ptr.To("PT0S")}
			},
			theBroker(func(b *eventingv1.Broker) {
				b.Spec.Delivery = &duck.DeliverySpec{Retry: ptr.To[int32](10), BackoffPolicy: ptr.To(duck.BackoffPolicyLinear), Timeout: ptr.To("PT30M")}
				b.Status.DeadLetterSinkURI = ptr.To("http://graves.default.svc.cluster.local")
			}), TriggerInput{Subscriber: display},
			with(func(r *model.Reader) {
				r.Delivery = model.Delivery{
					Retry: 5, Backoff: model.Linear, Delay: 500 * time.Millisecond, Timeout: 30 * time.Minute, RetryAfterMax: ptr.To[time.Duration](0),
					DeadLetter: model.Destination{URL: "http://graves.default.svc.cluster.local"},
				}
			}), "True", "", "",
		},
		{
			"annotations say how fast and from where",
			func(t *eventingv1.Trigger) {
				t.Annotations = map[string]string{eventing.KafkaDeliveryOrderAnnotationKey: "ordered", ConcurrencyKey: "3", RateKey: "0.5", PausedKey: "true", StartKey: "earliest"}
			}, theBroker(nil), TriggerInput{Subscriber: display},
			with(func(r *model.Reader) {
				r.Ordered, r.Concurrency, r.Rate, r.Paused, r.Start = true, 3, 0.5, true, model.Start{Earliest: true}
			}), "True", conditions.Ready, "take the annotation away to go on",
		},
		{
			"what is neither paused nor not delivers nothing and says so",
			func(t *eventingv1.Trigger) { t.Annotations[PausedKey] = "yes" }, theBroker(nil), TriggerInput{Subscriber: display},
			with(func(r *model.Reader) { r.Paused, r.Subscriber = true, model.Destination{} }), "False", eventingv1.TriggerConditionSubscribed, "neither true nor false",
		},
		{
			"a wrong annotation is told and delivers nothing",
			func(t *eventingv1.Trigger) { t.Annotations[OrderKey] = "sorted" }, theBroker(nil), TriggerInput{Subscriber: display},
			with(func(r *model.Reader) { r.Paused, r.Subscriber = true, model.Destination{} }), "False", eventingv1.TriggerConditionSubscribed, "neither ordered nor unordered",
		},
		{
			"it waits for what it depends on", nil, theBroker(nil),
			TriggerInput{Subscriber: display, Dependency: &Dependency{Reason: "DependencyDoesNotExist", Message: "PingSource default/p is not there"}},
			with(func(r *model.Reader) { r.Subscriber = model.Destination{} }), "Unknown", eventingv1.TriggerConditionDependency, "is not there",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := tt.in
			in.Trigger, in.Broker, in.Now = theTrigger(tt.trigger), tt.broker, now
			d := DecideTrigger(in)
			if d.Reader != nil {
				d.Reader.Filter = nil
			}
			if diff := cmp.Diff(tt.want, d.Reader); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if c := d.Status.GetCondition(conditions.Ready); string(c.Status) != tt.ready {
				t.Errorf("Ready %s: %s %s", c.Status, c.Reason, c.Message)
			}
			if tt.about != "" && !strings.Contains(d.Status.GetCondition(tt.about).Message, tt.words) {
				t.Errorf("%s says %q", tt.about, d.Status.GetCondition(tt.about).Message)
			}
			in.Trigger.Status = d.Status
			in.Now = now.Add(time.Hour)
			if diff := cmp.Diff(d.Status, DecideTrigger(in).Status); diff != "" {
				t.Errorf("the second look writes again (-first +second)\n%s", diff)
			}
		})
	}
}

func TestATriggersFilterIsTheOneItSays(t *testing.T) {
	created := event.New()
	created.SetID("1")
	created.SetSource("/shop")
	created.SetType("order.created")
	for _, tt := range []struct {
		name   string
		change func(*eventingv1.Trigger)
		passes bool
	}{
		{"attributes", nil, true},
		{"other attributes", func(t *eventingv1.Trigger) { t.Spec.Filter.Attributes["source"] = "/bank" }, false},
		{"filters win over attributes", func(t *eventingv1.Trigger) {
			t.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: "type LIKE 'order.%' AND source = '/shop'"}}
			t.Spec.Filter.Attributes["type"] = "another"
		}, true},
		{"none", func(t *eventingv1.Trigger) { t.Spec.Filter = nil }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := FilterOf(theTrigger(tt.change))
			if err != nil {
				t.Fatal(err)
			}
			if got := f == nil || f.Pass(&created); got != tt.passes {
				t.Errorf("passes: %t", got)
			}
		})
	}
	if _, err := FilterOf(theTrigger(func(t *eventingv1.Trigger) {
		t.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: "type LIKE"}}
	})); err == nil || !strings.Contains(err.Error(), "filters[0].cesql") {
		t.Errorf("a broken expression: %v", err)
	}
}
