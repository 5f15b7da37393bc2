package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/filter"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
)

// OwnClass is the class of Brokers that ask for ours by name.
const OwnClass = "Ebb"

// Classes are those served here, by the default log or by Kafka.
var Classes = append([]string{eventing.MTChannelBrokerClass, OwnClass}, KafkaClasses...)

// PoliciesMessage says what the condition EventPoliciesReady of a flow rests on: its channels say it of themselves.
const PoliciesMessage = "no EventPolicy applies: all senders in the cluster may send"

// Limits are those of a stream that says nothing else: the log's defaults, and two minutes in which an event of the same source and id is
// the same event.
var Limits = model.Limits{Dedupe: 2 * time.Minute}

// StreamOf is a Broker's stream.
func StreamOf(b *eventingv1.Broker) model.Stream {
	return model.Stream{ID: model.StreamID("broker." + b.UID), Kind: model.Broker, Key: types.NamespacedName{Namespace: b.Namespace, Name: b.Name}, Limits: Limits}
}

// ReaderIDOf is a Trigger's reader.
func ReaderIDOf(t *eventingv1.Trigger) model.ReaderID { return model.ReaderID("trigger." + t.UID) }

// BrokerInput is what the decision about a Broker is made of.
type BrokerInput struct {
	Broker *eventingv1.Broker
	// Stored is why events cannot be stored; nil if they can.
	Stored error
	// Reached says that the gateways lead to the ingress; otherwise why not.
	Reached bool
	Why     string
	// DeadLetter is what spec.delivery.deadLetterSink resolved to.
	DeadLetter destination.Found
	// Applied are the EventPolicies that apply to it.
	Applied       policy.Applied
	ClusterDomain string
	Now           time.Time
}

// Serves reports whether a Broker is ours.
func Serves(b *eventingv1.Broker) bool {
	class, given := b.Annotations[eventing.BrokerClassAnnotationKey]
	return !given || slices.Contains(Classes, class)
}

// DecideBroker returns a Broker's status.
func DecideBroker(in BrokerInput) eventingv1.BrokerStatus {
	b := in.Broker
	out := *b.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	begin(&out.Status, marks, b.Generation)
	if in.Stored != nil {
		marks.MarkFalse(eventingv1.BrokerConditionTriggerChannel, "NotStored", in.Stored.Error())
	} else {
		marks.MarkTrue(eventingv1.BrokerConditionTriggerChannel)
	}
	marks.MarkTrue(eventingv1.BrokerConditionFilter)
	if in.Reached {
		marks.MarkTrue(eventingv1.BrokerConditionIngress)
	} else {
		marks.MarkUnknown(eventingv1.BrokerConditionIngress, "RouteNotReady", in.Why)
	}
	out.AddressStatus = addressOf(b, in.ClusterDomain)
	marks.MarkTrue(eventingv1.BrokerConditionAddressable)
	in.DeadLetter.StateDeadLetters(marks, eventingv1.BrokerConditionDeadLetterSinkResolved, &out.DeliveryStatus)
	in.Applied.State(marks, eventingv1.BrokerConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &out.AddressStatus)
	out.Status.KeepTransitionTimes(&b.Status.Status)
	return out
}

func begin(s *conditions.Status, marks conditions.Manager, generation int64) {
	s.ObservedGeneration = generation
	marks.Initialize()
}

// TriggerInput is what the decision about a Trigger is made of.
type TriggerInput struct {
	Trigger *eventingv1.Trigger
	// Broker is the one it reads; nil if there is none.
	Broker     *eventingv1.Broker
	Subscriber destination.Found
	// DeadLetter is what the Trigger's own dead letter sink resolved to; it wins over the Broker's.
	DeadLetter destination.Found
	// Dependency is what the annotation knative.dev/dependency names; nil where there is none.
	Dependency *Dependency
	// Sender is as whom it sends.
	Sender identity.Sender
	Now    time.Time
}

// Dependency is the state of what a Trigger depends on.
type Dependency struct {
	Ready           *conditions.Condition
	Reason, Message string
}

// TriggerDecision is what becomes of a Trigger.
type TriggerDecision struct {
	// Reader is nil where there is no Broker of ours to read.
	Reader *model.Reader
	Status eventingv1.TriggerStatus
}

// DecideTrigger returns what a Trigger needs.
func DecideTrigger(in TriggerInput) TriggerDecision {
	t := in.Trigger
	d := TriggerDecision{Status: *t.Status.DeepCopy()}
	marks := d.Status.Mark(metav1.NewTime(in.Now))
	begin(&d.Status.Status, marks, t.Generation)
	in.Sender.State(marks, eventingv1.TriggerConditionOIDCIdentityCreated, &d.Status.Auth)
	d.broker(in, marks)
	d.Status.SubscriberURI, d.Status.SubscriberCACerts, d.Status.SubscriberAudience = nil, nil, nil
	if in.Subscriber.Err != nil {
		reason, message := in.Subscriber.Explain("subscriber")
		marks.MarkFalse(eventingv1.TriggerConditionSubscriberResolved, reason, message)
	} else {
		d.Status.SubscriberURI = &in.Subscriber.URL
		d.Status.SubscriberCACerts, d.Status.SubscriberAudience = in.Subscriber.CACerts, in.Subscriber.Audience
		marks.MarkTrue(eventingv1.TriggerConditionSubscriberResolved)
	}
	letters := in.DeadLetter
	if letters.Err == nil && letters.URL == "" && in.Broker != nil && in.Broker.Status.DeadLetterSinkURI != nil {
		s := in.Broker.Status.DeliveryStatus
		letters.Resolved = destination.Resolved{URL: *s.DeadLetterSinkURI, CACerts: s.DeadLetterSinkCACerts, Audience: s.DeadLetterSinkAudience}
	}
	letters.StateDeadLetters(marks, eventingv1.TriggerConditionDeadLetterSinkResolved, &d.Status.DeliveryStatus)
	switch {
	case in.Dependency == nil || in.Dependency.Ready.IsTrue():
		marks.MarkTrue(eventingv1.TriggerConditionDependency)
	case in.Dependency.Ready.IsFalse():
		marks.MarkFalse(eventingv1.TriggerConditionDependency, in.Dependency.Reason, in.Dependency.Message)
	default:
		marks.MarkUnknown(eventingv1.TriggerConditionDependency, in.Dependency.Reason, in.Dependency.Message)
	}
	d.reader(in, letters, marks)
	d.Status.Status.KeepTransitionTimes(&t.Status.Status)
	return d
}

// NotReading says in the status why the reader could not be started.
func (d *TriggerDecision) NotReading(t *eventingv1.Trigger, err error, now time.Time) {
	d.Status.Mark(metav1.NewTime(now)).MarkFalse(eventingv1.TriggerConditionSubscribed, "NotSubscribed", err.Error())
	d.Status.Status.KeepTransitionTimes(&t.Status.Status)
}

func (d *TriggerDecision) broker(in TriggerInput, marks conditions.Manager) {
	if in.Broker == nil {
		marks.MarkFalse(eventingv1.TriggerConditionBroker, "BrokerDoesNotExist", fmt.Sprintf("Broker %q does not exist", BrokerOf(in.Trigger)))
		return
	}
	ready := in.Broker.Status.GetCondition(eventingv1.BrokerConditionReady)
	switch {
	case ready.IsTrue():
		marks.MarkTrue(eventingv1.TriggerConditionBroker)
	case ready.IsFalse():
		marks.MarkFalse(eventingv1.TriggerConditionBroker, ready.Reason, ready.Message)
	case ready == nil:
		marks.MarkUnknown(eventingv1.TriggerConditionBroker, "BrokerUnknown", "the Broker has no status yet")
	default:
		marks.MarkUnknown(eventingv1.TriggerConditionBroker, ready.Reason, ready.Message)
	}
}

// reader makes the Trigger's reader. Where something is wrong with it, it has no subscriber and stays where it is.
func (d *TriggerDecision) reader(in TriggerInput, letters destination.Found, marks conditions.Manager) {
	t := in.Trigger
	if in.Broker == nil {
		marks.MarkUnknown(eventingv1.TriggerConditionSubscribed, "BrokerDoesNotExist", "there is nothing to read")
		return
	}
	r := &model.Reader{
		ID: ReaderIDOf(t), Kind: model.Trigger, Key: types.NamespacedName{Namespace: t.Namespace, Name: t.Name}, Stream: StreamOf(in.Broker).ID,
		As: in.Sender.Account, Begun: t.Status.GetCondition(eventingv1.TriggerConditionSubscribed).IsTrue(),
	}
	d.Reader = r
	var wrong []error
	compiled, err := FilterOf(t)
	wrong = append(wrong, err)
	r.Filter = compiled
	r.Delivery, err = DeliveryOf(t.Spec.Delivery, in.Broker.Spec.Delivery)
	wrong = append(wrong, err, Pace(r, t.Annotations))
	if letters.Err == nil {
		r.Delivery.DeadLetter = letters.Destination()
	}
	if err := errors.Join(wrong...); err != nil {
		marks.MarkFalse(eventingv1.TriggerConditionSubscribed, "NotSubscribed", err.Error())
		r.Paused = true
		return
	}
	marks.MarkTrue(eventingv1.TriggerConditionSubscribed)
	if r.Paused {
		StatePaused(marks, eventingv1.TriggerConditionSubscribed)
	}
	held := in.Dependency != nil && !in.Dependency.Ready.IsTrue()
	if in.Subscriber.Err == nil && letters.Err == nil && !held {
		r.Subscriber = in.Subscriber.Destination()
	}
}

// BrokerOf names the Broker that a Trigger reads.
func BrokerOf(t *eventingv1.Trigger) types.NamespacedName {
	if ref := t.Spec.BrokerRef; ref != nil && ref.Name != "" {
		namespace := ref.Namespace
		if namespace == "" {
			namespace = t.Namespace
		}
		return types.NamespacedName{Namespace: namespace, Name: ref.Name}
	}
	return types.NamespacedName{Namespace: t.Namespace, Name: t.Spec.Broker}
}

// FilterOf compiles what a Trigger filters by; nil passes everything.
func FilterOf(t *eventingv1.Trigger) (filter.Filter, error) {
	written := struct {
		Filter  *eventingv1.TriggerFilter           `json:"filter,omitempty"`
		Filters []eventingv1.SubscriptionsAPIFilter `json:"filters,omitempty"`
	}{t.Spec.Filter, t.Spec.Filters}
	data, err := json.Marshal(written)
	if err != nil {
		return nil, fmt.Errorf("read the filters: %w", err)
	}
	var spec filter.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("read the filters: %w", err)
	}
	return filter.Compile(spec)
}
