package flow

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing/defaulting"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
)

// Children are the objects that a Sequence or a Parallel is made of.
type Children struct {
	Channels      []*unstructured.Unstructured
	Subscriptions []*messagingv1.Subscription
}

// Child is one of them, as the API has it.
type Child struct {
	Ref duck.KReference
	// Ready is its condition of that name, or nil while its latest spec is not in effect.
	Ready *conditions.Condition
	// Address is where a channel takes events; nil if it has none yet.
	Address *duck.Addressable
	// Auth says as whom a Subscription sends; nil for nobody.
	Auth *duck.AuthStatus
	// Err is why it is not as it is to be; nil if it is.
	Err error
}

// senders are as whom all Subscriptions of a flow send; nil for nobody.
func senders(subscriptions []Child) *duck.AuthStatus {
	var names []string
	for _, c := range subscriptions {
		if c.Auth != nil && c.Auth.ServiceAccountName != nil {
			names = append(names, *c.Auth.ServiceAccountName)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &duck.AuthStatus{ServiceAccountNames: names}
}

// condition is what a flow's status shows of the child.
func (c Child) condition() conditions.Condition {
	switch {
	case c.Err != nil:
		return conditions.Condition{Type: conditions.Ready, Status: corev1.ConditionFalse, Reason: "NotReconciled", Message: c.Err.Error()}
	case c.Ready == nil:
		return conditions.Condition{
			Type: conditions.Ready, Status: corev1.ConditionUnknown, Reason: "NoReady", Message: c.Ref.Kind + " does not have Ready condition",
		}
	}
	return *c.Ready
}

func (c Child) channel() flowsv1.ChannelStatus {
	return flowsv1.ChannelStatus{Channel: c.Ref, ReadyCondition: c.condition()}
}

func (c Child) subscription() flowsv1.SubscriptionStatus {
	return flowsv1.SubscriptionStatus{Subscription: c.Ref, ReadyCondition: c.condition()}
}

// unready names the first child that is not ready, and says why; it is empty if all are.
func unready(children []Child) string {
	for _, c := range children {
		if ready := c.condition(); !ready.IsTrue() {
			return fmt.Sprintf("%s %s/%s is not ready: %s", c.Ref.Kind, c.Ref.Namespace, c.Ref.Name, ready.Message)
		}
	}
	return ""
}

// maker makes the children of one flow.
type maker struct {
	owner     *metav1.OwnerReference
	namespace string
	template  *duck.ChannelTemplateSpec
	children  Children
	err       error
}

// channel adds a channel and returns the reference to it.
func (m *maker) channel(name string) duck.KReference {
	made, err := channelFrom(m.template, m.namespace, name, m.owner, nil)
	if err != nil {
		m.err = err
		return duck.KReference{}
	}
	m.children.Channels = append(m.children.Channels, made)
	return duck.KReference{APIVersion: made.GetAPIVersion(), Kind: made.GetKind(), Name: name}
}

// subscription adds a Subscription, complete as admission would make it: what is stored then compares equal.
func (m *maker) subscription(name string, spec messagingv1.SubscriptionSpec) {
	s := &messagingv1.Subscription{
		TypeMeta:   typeOf(subscriptionKind),
		ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: name, OwnerReferences: []metav1.OwnerReference{*m.owner}},
		Spec:       *spec.DeepCopy(),
	}
	defaulting.Subscription(s, nil, defaulting.Input{})
	m.children.Subscriptions = append(m.children.Subscriptions, s)
}

// into is the destination that a channel of the flow is.
func into(channel duck.KReference) *duck.Destination { return &duck.Destination{Ref: &channel} }
