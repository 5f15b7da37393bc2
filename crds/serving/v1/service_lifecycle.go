package v1

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

var serviceConditions = conditions.Living(ServiceConditionConfigurationsReady, ServiceConditionRoutesReady)

// IsReady reports whether the Service serves its latest spec.
func (s *Service) IsReady() bool {
	return s.Status.ObservedGeneration == s.Generation && s.Status.GetCondition(ServiceConditionReady).IsTrue()
}

// IsFailed reports whether the Service's latest spec has failed.
func (s *Service) IsFailed() bool {
	return s.Status.ObservedGeneration == s.Generation && s.Status.GetCondition(ServiceConditionReady).IsFalse()
}

// Mark returns the marks for this status, all with the time now.
func (s *ServiceStatus) Mark(now metav1.Time) ServiceMarks {
	return ServiceMarks{Manager: serviceConditions.Manage(&s.Status, now), status: s}
}

// ServiceMarks states the conditions of a Service.
type ServiceMarks struct {
	conditions.Manager
	status *ServiceStatus
}

// ConfigurationNotOwned notes that the Configuration of the Service's name is another's.
func (m ServiceMarks) ConfigurationNotOwned(name string) {
	m.MarkFalse(ServiceConditionConfigurationsReady, ReasonNotOwned, NotOwnedMessage("Configuration", name))
}

// RouteNotOwned notes that the Route of the Service's name is another's.
func (m ServiceMarks) RouteNotOwned(name string) {
	m.MarkFalse(ServiceConditionRoutesReady, ReasonNotOwned, NotOwnedMessage("Route", name))
}

// ConfigurationNotReconciled notes that the Configuration has not caught up with its latest spec.
func (m ServiceMarks) ConfigurationNotReconciled() {
	m.MarkUnknown(ServiceConditionConfigurationsReady, "OutOfDate",
		"The Configuration is still working to reflect the latest desired specification.")
}

// RouteNotReconciled notes that the Route has not caught up with its latest spec.
func (m ServiceMarks) RouteNotReconciled() {
	m.MarkUnknown(ServiceConditionRoutesReady, "OutOfDate",
		"The Route is still working to reflect the latest desired specification.")
}

// RevisionNameTaken notes that the name the template gives belongs to a different Revision.
func (m ServiceMarks) RevisionNameTaken(name string) {
	m.MarkFalse(ServiceConditionRoutesReady, "RevisionNameTaken",
		fmt.Sprintf("The revision name %q is taken by a conflicting Revision, so traffic will not be migrated", name))
}

// RouteNotYetReady notes that the Route still serves the revision before.
func (m ServiceMarks) RouteNotYetReady() {
	m.MarkUnknown(ServiceConditionRoutesReady, "TrafficNotMigrated", "Traffic is not yet migrated to the latest revision.")
}

// PropagateConfiguration takes over what the Configuration says of itself.
func (m ServiceMarks) PropagateConfiguration(c *ConfigurationStatus) {
	m.status.ConfigurationStatusFields = c.ConfigurationStatusFields
	m.Copy(ServiceConditionConfigurationsReady, c.GetCondition(ConfigurationConditionReady))
}

// PropagateRoute takes over what the Route says of itself.
func (m ServiceMarks) PropagateRoute(r *RouteStatus) {
	r.RouteStatusFields.DeepCopyInto(&m.status.RouteStatusFields)
	m.Copy(ServiceConditionRoutesReady, r.GetCondition(RouteConditionReady))
}
