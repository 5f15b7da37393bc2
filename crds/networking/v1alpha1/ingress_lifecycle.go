package v1alpha1

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

var ingressConditions = conditions.Living(IngressConditionNetworkConfigured, IngressConditionLoadBalancerReady)

// IsReady reports whether the Ingress serves its latest spec.
func (i *Ingress) IsReady() bool {
	return i.Status.ObservedGeneration == i.Generation && i.Status.GetCondition(IngressConditionReady).IsTrue()
}

// Mark returns the marks for this status, all with the time now.
func (s *IngressStatus) Mark(now metav1.Time) IngressMarks {
	return IngressMarks{Manager: ingressConditions.Manage(&s.Status, now), status: s}
}

// IngressMarks states the conditions of an Ingress.
type IngressMarks struct {
	conditions.Manager
	status *IngressStatus
}

// NetworkConfigured notes that every gateway has accepted the rules.
func (m IngressMarks) NetworkConfigured() { m.MarkTrue(IngressConditionNetworkConfigured) }

// NetworkNotConfigured notes that gateways have yet to accept the rules.
func (m IngressMarks) NetworkNotConfigured(reason, message string) {
	m.MarkUnknown(IngressConditionNetworkConfigured, reason, message)
}

// NetworkFailed notes that the rules were refused.
func (m IngressMarks) NetworkFailed(reason, message string) {
	m.MarkFalse(IngressConditionNetworkConfigured, reason, message)
}

// ResourceNotOwned notes that something of the name we need exists and is another's.
func (m IngressMarks) ResourceNotOwned(kind, name string) {
	m.MarkFalse(IngressConditionNetworkConfigured, "NotOwned", fmt.Sprintf("There is an existing %s %q that we do not own.", kind, name))
}

// LoadBalancerReady notes where traffic can be sent to.
func (m IngressMarks) LoadBalancerReady(public, private []LoadBalancerIngressStatus) {
	m.status.PublicLoadBalancer = &LoadBalancerStatus{Ingress: public}
	m.status.PrivateLoadBalancer = &LoadBalancerStatus{Ingress: private}
	m.MarkTrue(IngressConditionLoadBalancerReady)
}

// LoadBalancerNotReady notes that there is no address yet.
func (m IngressMarks) LoadBalancerNotReady() {
	m.MarkUnknown(IngressConditionLoadBalancerReady, "Uninitialized", "Waiting for load balancer to be ready")
}

// LoadBalancerFailed notes that there will be no address.
func (m IngressMarks) LoadBalancerFailed(reason, message string) {
	m.MarkFalse(IngressConditionLoadBalancerReady, reason, message)
}

// NotReady notes that the Ingress as a whole is being worked on.
func (m IngressMarks) NotReady(reason, message string) {
	m.MarkUnknown(IngressConditionReady, reason, message)
}
