package defaulting

import (
	"time"

	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
)

// Broker completes b. old is the Broker it replaces, nil for a new one: its class and configuration cannot be changed, so they are not
// decided anew either.
func Broker(b, old *eventingv1.Broker, in Input) {
	class := b.Annotations[eventing.BrokerClassAnnotationKey]
	if class == "" && old != nil {
		class = old.Annotations[eventing.BrokerClassAnnotationKey]
	}
	if class == "" {
		class = in.Config.BrokerDefaults.Class(b.Namespace)
	}
	annotate(&b.ObjectMeta, eventing.BrokerClassAnnotationKey, class)
	defaults := in.Config.BrokerDefaults.Config(b.Namespace, class)
	if b.Spec.Config == nil && old != nil {
		b.Spec.Config = old.Spec.Config.DeepCopy()
	}
	if b.Spec.Config == nil && defaults.Name != "" {
		b.Spec.Config = defaults.KReference.DeepCopy()
	}
	if b.Spec.Config != nil && b.Spec.Config.Namespace == "" {
		b.Spec.Config.Namespace = b.Namespace
	}
	if b.Spec.Delivery == nil {
		b.Spec.Delivery = defaults.Delivery.DeepCopy()
	}
	delivery(b.Spec.Delivery, b.Namespace)
}

// Trigger completes t. old is the Trigger it replaces, nil for a new one.
func Trigger(t, old *eventingv1.Trigger, in Input) {
	spec := &t.Spec
	if spec.Broker == "" && spec.BrokerRef == nil {
		spec.Broker = eventing.DefaultBroker
	}
	if spec.BrokerRef != nil {
		label(&t.ObjectMeta, eventing.BrokerLabelKey, spec.BrokerRef.Name)
	} else {
		label(&t.ObjectMeta, eventing.BrokerLabelKey, spec.Broker)
	}
	if spec.Filter == nil {
		spec.Filter = &eventingv1.TriggerFilter{}
	}
	destination(&spec.Subscriber, t.Namespace)
	var before map[string]string
	if old != nil {
		before = old.Annotations
	}
	deliveryTimeout(spec, t.Annotations, before)
	delivery(spec.Delivery, t.Namespace)
}

// deliveryTimeout fills delivery.timeout from the annotation. A timeout that came from the annotation follows it when it changes.
func deliveryTimeout(spec *eventingv1.TriggerSpec, annotations, before map[string]string) {
	timeout, ok := DeliveryTimeout(annotations)
	if !ok {
		return
	}
	if spec.Delivery == nil {
		spec.Delivery = &duck.DeliverySpec{}
	}
	was, _ := DeliveryTimeout(before)
	if spec.Delivery.Timeout == nil || *spec.Delivery.Timeout == was {
		spec.Delivery.Timeout = ptr.To(timeout)
	}
}

// DeliveryTimeout returns the timeout that the annotation eventing.knative.dev/delivery.timeout gives, as an ISO 8601 duration, and
// whether it gives one. The annotation is a duration such as 30m, or one of ISO 8601.
func DeliveryTimeout(annotations map[string]string) (string, bool) {
	value, ok := annotations[eventing.DeliveryTimeoutAnnotationKey]
	if !ok {
		return "", false
	}
	if d, err := time.ParseDuration(value); err == nil && d > 0 {
		return duck.FormatDuration(d), true
	}
	if d, err := duck.ParseDuration(value); err == nil && d > 0 {
		return value, true
	}
	return "", false
}
