package v1

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/serving"
)

const (
	// ExternalDomainTLSNotEnabledMessage goes with TLSNotEnabled where config-network asks for no certificates.
	ExternalDomainTLSNotEnabledMessage = "external-domain-tls is not enabled"
	// TLSNotEnabledForClusterLocalMessage goes with TLSNotEnabled where the host is inside the cluster.
	TLSNotEnabledForClusterLocalMessage = "TLS is not enabled for cluster-local"
)

var routeConditions = conditions.Living(
	RouteConditionAllTrafficAssigned, RouteConditionIngressReady, RouteConditionCertificateProvisioned)

// IsReady reports whether the Route serves its latest spec.
func (r *Route) IsReady() bool {
	return r.Status.ObservedGeneration == r.Generation && r.Status.GetCondition(RouteConditionReady).IsTrue()
}

// IsFailed reports whether the Route's latest spec has failed.
func (r *Route) IsFailed() bool {
	return r.Status.ObservedGeneration == r.Generation && r.Status.GetCondition(RouteConditionReady).IsFalse()
}

// RolloutDuration returns over how long traffic moves to a new latest revision, 0 if the annotation is absent or no duration.
func (r *Route) RolloutDuration() time.Duration {
	_, value, _ := serving.Lookup(r.Annotations, serving.RolloutDurationAnnotationKey, serving.RolloutDurationAltAnnotationKey)
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0
	}
	return d
}

// Mark returns the marks for this status, all with the time now.
func (s *RouteStatus) Mark(now metav1.Time) RouteMarks {
	return RouteMarks{Manager: routeConditions.Manage(&s.Status, now)}
}

// RouteMarks states the conditions of a Route.
type RouteMarks struct {
	conditions.Manager
}

// ServiceNotOwned notes that the placeholder Service of the Route's name is another's.
func (m RouteMarks) ServiceNotOwned(name string) {
	m.MarkFalse(RouteConditionIngressReady, ReasonNotOwned,
		fmt.Sprintf("There is an existing placeholder Service %q that we do not own.", name))
}

// EndpointNotOwned notes that the placeholder's endpoints are another's.
func (m RouteMarks) EndpointNotOwned(name string) {
	m.MarkFalse(RouteConditionIngressReady, ReasonNotOwned,
		fmt.Sprintf("There is an existing placeholder Endpoint %q that we do not own.", name))
}

// IngressRolloutInProgress notes that traffic is on its way to the latest revision.
func (m RouteMarks) IngressRolloutInProgress() {
	m.MarkUnknown(RouteConditionIngressReady, "RolloutInProgress", "A gradual rollout of the latest revision(s) is in progress.")
}

// IngressNotConfigured notes that the Ingress says nothing of itself yet.
func (m RouteMarks) IngressNotConfigured() {
	m.MarkUnknown(RouteConditionIngressReady, "IngressNotConfigured", "Ingress has not yet been reconciled.")
}

// PropagateIngress takes over the Ingress's Ready condition.
func (m RouteMarks) PropagateIngress(ready *conditions.Condition) {
	if ready == nil {
		m.IngressNotConfigured()
		return
	}
	m.Copy(RouteConditionIngressReady, ready)
}

// TrafficAssigned notes that every target is there and ready.
func (m RouteMarks) TrafficAssigned() { m.MarkTrue(RouteConditionAllTrafficAssigned) }

// UnknownTrafficError notes an error that says nothing about the targets.
func (m RouteMarks) UnknownTrafficError(message string) {
	m.MarkUnknown(RouteConditionAllTrafficAssigned, "Unknown", message)
}

// RevisionTargetTrafficError notes what is wrong with a target's revision.
func (m RouteMarks) RevisionTargetTrafficError(reason, message string) {
	m.MarkFalse(RouteConditionAllTrafficAssigned, reason, message)
}

// ConfigurationNotReady notes a target whose Configuration has no ready Revision yet.
func (m RouteMarks) ConfigurationNotReady(name string) {
	m.MarkUnknown(RouteConditionAllTrafficAssigned, "RevisionMissing",
		fmt.Sprintf("Configuration %q is waiting for a Revision to become ready.", name))
}

// ConfigurationFailed notes a target whose Configuration has failed.
func (m RouteMarks) ConfigurationFailed(name string) {
	m.MarkFalse(RouteConditionAllTrafficAssigned, "RevisionMissing",
		fmt.Sprintf("Configuration %q does not have any ready Revision.", name))
}

// RevisionNotReady notes a target whose Revision is on its way.
func (m RouteMarks) RevisionNotReady(name string) {
	m.MarkUnknown(RouteConditionAllTrafficAssigned, "RevisionMissing", fmt.Sprintf("Revision %q is not yet ready.", name))
}

// RevisionFailed notes a target whose Revision has failed.
func (m RouteMarks) RevisionFailed(name string) {
	m.MarkFalse(RouteConditionAllTrafficAssigned, "RevisionMissing", fmt.Sprintf("Revision %q failed to become ready.", name))
}

// RevisionNotOwned notes a target that belongs to another Service, or with owner "" to none.
func (m RouteMarks) RevisionNotOwned(name, service, owner string) {
	message := fmt.Sprintf("Revision %q does not belong to Service %q.", name, service)
	if owner != "" {
		message = fmt.Sprintf("Revision %q belongs to Service %q, not Service %q.", name, owner, service)
	}
	m.MarkFalse(RouteConditionAllTrafficAssigned, "RevisionNotOwned", message)
}

// MissingTrafficTarget notes a target that does not exist. kind is Revision or Configuration.
func (m RouteMarks) MissingTrafficTarget(kind, name string) {
	m.MarkFalse(RouteConditionAllTrafficAssigned, kind+"Missing", fmt.Sprintf("%s %q referenced in traffic not found.", kind, name))
}

// CertificateReady notes that the certificate is there.
func (m RouteMarks) CertificateReady() { m.MarkTrue(RouteConditionCertificateProvisioned) }

// CertificateNotReady notes that the certificate is on its way, with its own reason.
func (m RouteMarks) CertificateNotReady(name, reason string) {
	m.MarkUnknown(RouteConditionCertificateProvisioned, "CertificateNotReady",
		fmt.Sprintf("Certificate %s is not ready: %s", name, reason))
}

// CertificateProvisionFailed notes that there will be no certificate, with its own reason.
func (m RouteMarks) CertificateProvisionFailed(name, reason string) {
	m.MarkFalse(RouteConditionCertificateProvisioned, "CertificateProvisionFailed",
		fmt.Sprintf("Certificate %s fails to be provisioned: %s", name, reason))
}

// CertificateNotOwned notes that the certificate of the name we need is another's.
func (m RouteMarks) CertificateNotOwned(name string) {
	m.MarkFalse(RouteConditionCertificateProvisioned, "CertificateNotOwned",
		fmt.Sprintf("There is an existing certificate %s that we don't own.", name))
}

// TLSNotEnabled notes that no certificate is needed, and why.
func (m RouteMarks) TLSNotEnabled(message string) {
	m.MarkTrueWithReason(RouteConditionCertificateProvisioned, "TLSNotEnabled", message)
}

// HTTPDowngrade notes that plain HTTP serves while the certificate is on its way.
func (m RouteMarks) HTTPDowngrade(name string) {
	m.MarkTrueWithReason(RouteConditionCertificateProvisioned, "HTTPDowngrade",
		fmt.Sprintf("Certificate %s is not ready downgrade HTTP.", name))
}
