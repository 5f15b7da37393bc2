package revision

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// trouble is what keeps a pod from becoming ready.
type trouble struct {
	// crash is a container that ended by itself; otherwise the pod has yet to start.
	crash           bool
	reason, message string
}

// Signature sums up a pod's trouble: pods with the same one need not be looked at again. A pod without trouble has "".
func Signature(pod *corev1.Pod) string {
	if t := troubleOf(pod, false); t != nil {
		return t.reason + ": " + t.message
	}
	return ""
}

// troubles marks what keeps the first troubled pod from becoming ready. Pods of one revision mostly fail alike.
func (d *decider) troubles() {
	for i := range d.Pods {
		t := troubleOf(&d.Pods[i], d.Config.Deployment.PodIsAlwaysSchedulable)
		switch {
		case t == nil:
			continue
		case t.crash:
			d.marks.ContainerHealthyFalse(t.reason, t.message)
		default:
			t = d.keepPullFailure(t)
			d.marks.ResourcesAvailableFalse(t.reason, t.message)
		}
		return
	}
}

// pullFailures are two words for one trouble, between which the kubelet goes to and fro.
var pullFailures = []string{"ErrImagePull", "ImagePullBackOff"}

// keepPullFailure returns what the status says of a failure to pull already: the first words are the best, and what does not change
// need not be written.
func (d *decider) keepPullFailure(t *trouble) *trouble {
	said := d.Revision.Status.GetCondition(servingv1.RevisionConditionResourcesAvailable)
	if said.IsFalse() && slices.Contains(pullFailures, said.Reason) && slices.Contains(pullFailures, t.reason) {
		return &trouble{reason: said.Reason, message: said.Message}
	}
	return t
}

// troubleOf returns what keeps pod from becoming ready, nil if nothing does or it is on its way out.
func troubleOf(pod *corev1.Pod, schedulable bool) *trouble {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	if !schedulable {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return &trouble{reason: c.Reason, message: c.Message}
			}
		}
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			if t := containerTrouble(&list[i]); t != nil {
				return t
			}
		}
	}
	return nil
}

func containerTrouble(s *corev1.ContainerStatus) *trouble {
	if end := s.LastTerminationState.Terminated; end != nil && !s.Ready && s.Name != serving.SidecarContainerName {
		message := end.Message
		if message == "" && end.ExitCode == 0 {
			message = "container exited with no error"
		}
		return &trouble{crash: true, reason: servingv1.ExitCodeReason(end.ExitCode), message: servingv1.ContainerExitingMessage(message)}
	}
	if w := s.State.Waiting; w != nil && !starting(w.Reason) {
		message := w.Message
		if message == "" {
			message = "container " + s.Name + " waits: " + w.Reason
		}
		return &trouble{reason: w.Reason, message: message}
	}
	return nil
}

// starting reports whether a container waits for what comes by itself.
func starting(reason string) bool {
	return reason == "" || reason == "ContainerCreating" || reason == "PodInitializing"
}

func hasDigest(image string) bool { return strings.Contains(image, "@sha256:") }
