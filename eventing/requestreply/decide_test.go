package requestreply

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/model"
)

func defaults(t *testing.T) config.EventingFeatures {
	t.Helper()
	features, _, err := config.ParseEventingFeatures(nil)
	if err != nil {
		t.Fatal(err)
	}
	return features
}

func TestTermsAreTheSpecsOrTheDefaults(t *testing.T) {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{UID: "b1"}}
	r := &eventingv1alpha1.RequestReply{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ask", UID: "r1"}}
	terms, err := TermsOf(r, b, defaults(t))
	if err != nil || terms.Stream != "broker.b1" || terms.UID != "r1" || terms.Key != (model.Key{Namespace: "shop", Name: "ask"}) ||
		terms.Correlation != "correlationid" || terms.Reply != "replyid" || terms.Timeout != 30*time.Second || terms.Delivery.Retry != 0 {
		t.Errorf("%+v, %v", terms, err)
	}
	r.Spec = eventingv1alpha1.RequestReplySpec{
		CorrelationAttribute: "a", ReplyAttribute: "b", Timeout: ptr.To("PT2S"), Delivery: &duck.DeliverySpec{Retry: ptr.To[int32](3)},
	}
	terms, err = TermsOf(r, b, defaults(t))
	if err != nil || terms.Correlation != "a" || terms.Reply != "b" || terms.Timeout != 2*time.Second || terms.Delivery.Retry != 3 {
		t.Errorf("%+v, %v", terms, err)
	}
	r.Spec.Timeout = ptr.To("soon")
	if _, err := TermsOf(r, b, defaults(t)); err == nil {
		t.Error("a timeout that is none")
	}
}

func TestTheStatusSaysWhatIsMissing(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ready := &eventingv1.Broker{}
	for _, c := range []conditions.Type{
		eventingv1.BrokerConditionIngress, eventingv1.BrokerConditionTriggerChannel, eventingv1.BrokerConditionFilter, eventingv1.BrokerConditionAddressable,
		eventingv1.BrokerConditionDeadLetterSinkResolved, eventingv1.BrokerConditionEventPoliciesReady,
	} {
		ready.Status.Mark(metav1.NewTime(now)).MarkTrue(c)
	}
	if !ready.IsReady() {
		t.Fatalf("%+v", ready.Status)
	}
	foreign := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{eventing.BrokerClassAnnotationKey: "Other"}}}
	tests := []struct {
		name string
		in   Input
		// want is the reason of the condition that says why it is not ready; "" if it is.
		condition conditions.Type
		want      string
		replicas  int32
	}{
		{"all well", Input{Broker: ready, Served: true, Way: exposure.Way{Reached: true}}, conditions.Ready, "", 1},
		{"no Broker", Input{Way: exposure.Way{Reached: true}}, eventingv1alpha1.RequestReplyConditionBrokerReady, "NotFound", 0},
		{"a Broker of others", Input{Broker: foreign, Way: exposure.Way{Reached: true}}, eventingv1alpha1.RequestReplyConditionBrokerReady, "NotServed", 0},
		{"a Broker that is not ready", Input{Broker: &eventingv1.Broker{}, Served: true, Way: exposure.Way{Reached: true}}, eventingv1alpha1.RequestReplyConditionBrokerReady, "NotReady", 1},
		{"a log that cannot be read", Input{Broker: ready, Served: true, Way: exposure.Way{Reached: true}, Read: errors.New("disk")},
			eventingv1alpha1.RequestReplyConditionTriggers, "TriggersNotReady", 0},
		{"no route yet", Input{Broker: ready, Served: true, Way: exposure.Way{Why: "soon"}}, eventingv1alpha1.RequestReplyConditionAddressable, "RouteNotReady", 1},
		{"no route", Input{Broker: ready, Served: true, Way: exposure.Way{Exposed: errors.New("no")}}, eventingv1alpha1.RequestReplyConditionAddressable, "NotExposed", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.RequestReply = &eventingv1alpha1.RequestReply{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ask", Generation: 2},
				Spec:       eventingv1alpha1.RequestReplySpec{BrokerRef: duck.KReference{Name: "default"}},
			}
			tt.in.Now, tt.in.ClusterDomain = now, "cluster.local"
			got := Decide(tt.in)
			if got.Address == nil || got.Address.URL != "http://request-reply.knative-eventing.svc.cluster.local/shop/ask" {
				t.Errorf("address %+v", got.Address)
			}
			if *got.DesiredReplicas != 1 || *got.ReadyReplicas != tt.replicas {
				t.Errorf("replicas %d of %d", *got.ReadyReplicas, *got.DesiredReplicas)
			}
			tt.in.RequestReply.Status = got
			if c := got.GetCondition(tt.condition); c.Reason != tt.want || tt.in.RequestReply.IsReady() != (tt.want == "") {
				t.Errorf("%+v", got.Conditions)
			}
			tt.in.Now = now.Add(time.Hour)
			if again := Decide(tt.in); again.GetCondition(conditions.Ready).LastTransitionTime != got.GetCondition(conditions.Ready).LastTransitionTime {
				t.Error("a second look changes the status")
			}
		})
	}
}
