package requestreply

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing/defaulting"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
)

// Host is the Service whose host all RequestReplies are reached by, as Knative's.
var Host = exposure.Host{Service: "request-reply", Purpose: "requestreply", External: true}

// Terms are how requests to one RequestReply are exchanged for replies.
type Terms struct {
	Key model.Key
	UID types.UID
	// Stream is the Broker's.
	Stream model.StreamID
	// Correlation is the attribute that requests are given, Reply the one that brings it back.
	Correlation, Reply string
	// Timeout bounds a request from its arrival on.
	Timeout time.Duration
	// Delivery says how often to try again to store a request while the Broker cannot.
	Delivery model.Delivery
}

// TermsOf reads those of a RequestReply. What it does not say is what admission would have filled in.
func TermsOf(r *eventingv1alpha1.RequestReply, b *eventingv1.Broker, features config.EventingFeatures) (Terms, error) {
	r = r.DeepCopy()
	defaulting.RequestReply(r, nil, defaulting.Input{Config: &config.Eventing{Features: features}})
	t := Terms{
		Key: types.NamespacedName{Namespace: r.Namespace, Name: r.Name}, UID: r.UID, Stream: broker.StreamOf(b).ID,
		Correlation: r.Spec.CorrelationAttribute, Reply: r.Spec.ReplyAttribute,
	}
	var err error
	if t.Timeout, err = duck.ParseDuration(*r.Spec.Timeout); err != nil {
		return t, fmt.Errorf("RequestReply %s: spec.timeout: %w", t.Key, err)
	}
	if t.Delivery, err = broker.DeliveryOf(r.Spec.Delivery); err != nil {
		return t, fmt.Errorf("RequestReply %s: spec.%w", t.Key, err)
	}
	return t, nil
}

// Input is what the decision about a RequestReply's status is made of.
type Input struct {
	RequestReply *eventingv1alpha1.RequestReply
	// Broker is the one it is for; nil if there is none.
	Broker *eventingv1.Broker
	// Served is false for a Broker of a class that is somebody else's.
	Served bool
	// Read is why replies cannot be read; nil if they can.
	Read error
	// Way is that to Host.
	Way exposure.Way
	// Applied are the EventPolicies that apply to it.
	Applied       policy.Applied
	ClusterDomain string
	Now           time.Time
}

// Decide returns a RequestReply's status.
func Decide(in Input) eventingv1alpha1.RequestReplyStatus {
	r := in.RequestReply
	out := *r.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = r.Generation
	marks.Initialize()
	in.broker(marks)
	// Who answers is one process, where Knative counts those of a StatefulSet.
	out.DesiredReplicas, out.ReadyReplicas = ptr.To[int32](1), ptr.To[int32](0)
	switch {
	case in.Broker == nil || !in.Served:
		marks.MarkUnknown(eventingv1alpha1.RequestReplyConditionTriggers, "TriggersNotReady", "there is no Broker to read replies from")
	case in.Read != nil:
		marks.MarkUnknown(eventingv1alpha1.RequestReplyConditionTriggers, "TriggersNotReady", in.Read.Error())
	default:
		marks.MarkTrue(eventingv1alpha1.RequestReplyConditionTriggers)
		out.ReadyReplicas = ptr.To[int32](1)
	}
	out.Address = Host.Address(in.ClusterDomain, r)
	out.Addresses = nil
	in.Way.State(marks, eventingv1alpha1.RequestReplyConditionAddressable)
	in.Applied.State(marks, eventingv1alpha1.RequestReplyConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &out.AddressStatus)
	out.Status.KeepTransitionTimes(&r.Status.Status)
	return out
}

// broker states whether there is a Broker, and how it is.
func (in Input) broker(marks conditions.Manager) {
	const condition = eventingv1alpha1.RequestReplyConditionBrokerReady
	name := in.RequestReply.Spec.BrokerRef.Name
	switch {
	case in.Broker == nil:
		marks.MarkUnknown(condition, "NotFound", fmt.Sprintf("Broker %q does not exist", name))
	case !in.Served:
		marks.MarkFalse(condition, "NotServed", fmt.Sprintf("Broker %q is of a class that Ebb does not serve", name))
	case in.Broker.IsReady():
		marks.MarkTrue(condition)
	default:
		why := "it has no status yet"
		if c := in.Broker.Status.GetCondition(eventingv1.BrokerConditionReady); c != nil {
			why = c.Reason + " " + c.Message
		}
		marks.MarkFalse(condition, "NotReady", fmt.Sprintf("Broker %q is not ready: %s", name, why))
	}
}
