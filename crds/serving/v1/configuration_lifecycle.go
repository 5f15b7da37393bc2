package v1

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

var configurationConditions = conditions.Living()

// IsReady reports whether the Configuration's latest spec has a ready Revision.
func (c *Configuration) IsReady() bool {
	return c.Status.ObservedGeneration == c.Generation && c.Status.GetCondition(ConfigurationConditionReady).IsTrue()
}

// IsFailed reports whether the Configuration's latest spec has failed.
func (c *Configuration) IsFailed() bool {
	return c.Status.ObservedGeneration == c.Generation && c.Status.GetCondition(ConfigurationConditionReady).IsFalse()
}

// IsLatestReadyRevisionNameUpToDate reports whether the latest created Revision is the latest ready one.
func (c *Configuration) IsLatestReadyRevisionNameUpToDate() bool {
	return c.IsReady() && c.Status.LatestCreatedRevisionName == c.Status.LatestReadyRevisionName
}

// Mark returns the marks for this status, all with the time now.
func (s *ConfigurationStatus) Mark(now metav1.Time) ConfigurationMarks {
	return ConfigurationMarks{Manager: configurationConditions.Manage(&s.Status, now), status: s}
}

// ConfigurationMarks states the condition of a Configuration.
type ConfigurationMarks struct {
	conditions.Manager
	status *ConfigurationStatus
}

// LatestCreated notes the newest Revision. Until it is the latest ready one too, Ready is Unknown.
func (m ConfigurationMarks) LatestCreated(name string) {
	m.status.LatestCreatedRevisionName = name
	if m.status.LatestReadyRevisionName != name {
		m.MarkUnknown(ConfigurationConditionReady, "", "")
	}
}

// LatestReady notes the newest ready Revision. If it is the latest created one, Ready is True.
func (m ConfigurationMarks) LatestReady(name string) {
	m.status.LatestReadyRevisionName = name
	if m.status.LatestCreatedRevisionName == name {
		m.MarkTrue(ConfigurationConditionReady)
	}
}

// LatestCreatedFailed notes that the newest Revision has failed, with its message.
func (m ConfigurationMarks) LatestCreatedFailed(name, message string) {
	m.MarkFalse(ConfigurationConditionReady, "RevisionFailed", fmt.Sprintf("Revision %q failed with message: %s.", name, message))
}

// RevisionCreationFailed notes that the Revision could not be made.
func (m ConfigurationMarks) RevisionCreationFailed(message string) {
	m.MarkFalse(ConfigurationConditionReady, "RevisionFailed", fmt.Sprintf("Revision creation failed with message: %s.", message))
}

// LatestReadyDeleted notes that the latest ready Revision is gone.
func (m ConfigurationMarks) LatestReadyDeleted() {
	m.MarkFalse(ConfigurationConditionReady, "RevisionDeleted", fmt.Sprintf("Revision %q was deleted.", m.status.LatestReadyRevisionName))
}
