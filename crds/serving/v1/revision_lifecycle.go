package v1

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

// Reasons of a Revision's conditions.
const (
	// ReasonContainerMissing is an image that cannot be had (ContainerHealthy False).
	ReasonContainerMissing = "ContainerMissing"
	// ReasonResolvingDigests is an image whose tag is being looked up (ContainerHealthy Unknown).
	ReasonResolvingDigests = "ResolvingDigests"
	// ReasonDeploying is a revision on its way (ResourcesAvailable Unknown).
	ReasonDeploying = "Deploying"
	// ReasonNotOwned is a child that is another's (False).
	ReasonNotOwned = "NotOwned"
	// ReasonProgressDeadlineExceeded is a revision that did not come up in time (ResourcesAvailable False).
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
	// ReasonNoTraffic is a revision asleep (Active False).
	ReasonNoTraffic = "NoTraffic"
	// ReasonQueued is a revision being woken (Active Unknown).
	ReasonQueued = "Queued"
)

// Messages of a Revision's Active condition.
const (
	// NoTrafficMessage goes with ReasonNoTraffic.
	NoTrafficMessage = "The target is not receiving traffic."
	// QueuedMessage goes with ReasonQueued.
	QueuedMessage = "Requests to the target are being buffered as resources are provisioned."
)

// Active does not decide Ready: a revision asleep is ready.
var revisionConditions = conditions.Living(RevisionConditionResourcesAvailable, RevisionConditionContainerHealthy)

// IsReady reports whether the Revision can serve.
func (r *Revision) IsReady() bool {
	return r.Status.ObservedGeneration == r.Generation && r.Status.GetCondition(RevisionConditionReady).IsTrue()
}

// IsFailed reports whether the Revision has failed.
func (r *Revision) IsFailed() bool {
	return r.Status.ObservedGeneration == r.Generation && r.Status.GetCondition(RevisionConditionReady).IsFalse()
}

// IsActivationRequired reports whether requests must wait for a replica first.
func (s *RevisionStatus) IsActivationRequired() bool {
	c := s.GetCondition(RevisionConditionActive)
	return c != nil && !c.IsTrue()
}

// Mark returns the marks for this status, all with the time now.
func (s *RevisionStatus) Mark(now metav1.Time) RevisionMarks {
	return RevisionMarks{Manager: revisionConditions.Manage(&s.Status, now)}
}

// RevisionMarks states the conditions of a Revision.
type RevisionMarks struct {
	conditions.Manager
}

// ActiveTrue notes that the revision has replicas for its traffic.
func (m RevisionMarks) ActiveTrue() { m.MarkTrue(RevisionConditionActive) }

// ActiveFalse notes that the revision has none, and why.
func (m RevisionMarks) ActiveFalse(reason, message string) {
	m.MarkFalse(RevisionConditionActive, reason, message)
}

// ActiveUnknown notes that the revision is between the two.
func (m RevisionMarks) ActiveUnknown(reason, message string) {
	m.MarkUnknown(RevisionConditionActive, reason, message)
}

// ContainerHealthyTrue notes that a replica has become ready.
func (m RevisionMarks) ContainerHealthyTrue() { m.MarkTrue(RevisionConditionContainerHealthy) }

// ContainerHealthyFalse notes that the containers do not come up, and why.
func (m RevisionMarks) ContainerHealthyFalse(reason, message string) {
	m.MarkFalse(RevisionConditionContainerHealthy, reason, message)
}

// ContainerHealthyUnknown notes that the containers have yet to show.
func (m RevisionMarks) ContainerHealthyUnknown(reason, message string) {
	m.MarkUnknown(RevisionConditionContainerHealthy, reason, message)
}

// ResourcesAvailableTrue notes that what the revision runs on is there.
func (m RevisionMarks) ResourcesAvailableTrue() { m.MarkTrue(RevisionConditionResourcesAvailable) }

// ResourcesAvailableFalse notes that it cannot be had, and why.
func (m RevisionMarks) ResourcesAvailableFalse(reason, message string) {
	m.MarkFalse(RevisionConditionResourcesAvailable, reason, message)
}

// ResourcesAvailableUnknown notes that it is on its way.
func (m RevisionMarks) ResourcesAvailableUnknown(reason, message string) {
	m.MarkUnknown(RevisionConditionResourcesAvailable, reason, message)
}

// NotOwnedMessage is the message for a child that exists and is another's.
func NotOwnedMessage(kind, name string) string {
	return fmt.Sprintf("There is an existing %s %q that we do not own.", kind, name)
}

// ExitCodeReason is the reason for a container that ended with a code: ExitCode1.
func ExitCodeReason(code int32) string { return fmt.Sprintf("ExitCode%d", code) }

// ContainerExitingMessage is the message for a container that does not stay up.
func ContainerExitingMessage(message string) string { return "Container failed with: " + message }

// ContainerMissingMessage is the message for an image that cannot be had.
func ContainerMissingMessage(image, message string) string {
	return fmt.Sprintf("Unable to fetch image %q: %s", image, message)
}
