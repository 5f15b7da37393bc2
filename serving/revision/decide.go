package revision

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/autoscaling"
	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/conditions"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/digest"
	"ebb.dev/ebb/serving/status"
	"ebb.dev/ebb/serving/workload"
)

// Input is what a decision is made of. Children are nil where there are none.
type Input struct {
	workload.Input

	Deployment    *appsv1.Deployment
	PodAutoscaler *autoscalingv1alpha1.PodAutoscaler
	Service       *corev1.Service
	// Pods are the revision's, the oldest first. They matter only while NeedsPods says so.
	Pods []corev1.Pod
	// Images is what is known of the images, if neither the status nor the Deployment holds them.
	Images digest.Result
	Now    time.Time
}

// Decision is what to do.
type Decision struct {
	Plan   apply.Plan
	Status servingv1.RevisionStatus
	Pace   status.Pace
	// News are told with the status.
	News []apply.Event
}

// NeedsPods reports whether a decision has to look at the pods: some are wanted and none is there.
func NeedsPods(d *appsv1.Deployment) bool {
	return d != nil && ptr.Deref(d.Spec.Replicas, 1) > 0 && d.Status.AvailableReplicas == 0
}

// NeedsImages reports whether a decision has to know the images: nothing holds them yet.
func NeedsImages(r *servingv1.Revision, d *appsv1.Deployment) bool {
	return !pinned(r) && !owned(d, r)
}

func pinned(r *servingv1.Revision) bool {
	s := &r.Status
	return len(s.ContainerStatuses) == len(r.Spec.Containers) && len(s.InitContainerStatuses) == len(r.Spec.InitContainers)
}

func owned(d *appsv1.Deployment, r *servingv1.Revision) bool {
	return d != nil && metav1.IsControlledBy(d, r)
}

// Decide returns what a Revision needs. The Revision has its defaults.
func Decide(in Input) Decision {
	d := &decider{Input: in}
	d.Status = *in.Revision.Status.DeepCopy()
	d.marks = d.Status.Mark(metav1.NewTime(in.Now))
	d.marks.Initialize()
	d.Status.LogURL = in.Config.Observability.RevisionLogURL(string(in.Revision.UID))
	if d.images() {
		d.imagesFound()
		if d.cleared() {
			d.deployment()
			d.service()
			d.podAutoscaler()
		}
	}
	d.finish()
	return d.Decision
}

// Refused is d after the API server has refused one of its children for what it is. Users must know: trying again will not help.
func Refused(in Input, d Decision, err error) Decision {
	after := &decider{Input: in, Decision: Decision{Status: d.Status}}
	after.marks = after.Status.Mark(metav1.NewTime(in.Now))
	after.marks.ResourcesAvailableFalse(autoscalingv1alpha1.ReasonFailedCreate, err.Error())
	after.finish()
	return after.Decision
}

// decider is a decision in the making.
type decider struct {
	Input
	Decision
	marks servingv1.RevisionMarks
}

// images fills in what the containers run, and reports whether it is known.
func (d *decider) images() bool {
	r := d.Revision
	switch {
	case pinned(r):
	case owned(d.Deployment, r):
		// The Deployment has them from before, when the status could not be written.
		pod := &d.Deployment.Spec.Template.Spec
		d.pin(byName(pod.InitContainers), byName(pod.Containers))
	case d.Images.Known:
		d.pin(d.Images.Images, d.Images.Images)
	case d.Images.Failure != "":
		d.marks.ContainerHealthyFalse(servingv1.ReasonContainerMissing, d.Images.Failure)
		return false
	default:
		d.marks.ResourcesAvailableUnknown(servingv1.ReasonResolvingDigests, "")
		return false
	}
	d.Digests = map[string]string{}
	for _, list := range [][]servingv1.ContainerStatus{d.Status.InitContainerStatuses, d.Status.ContainerStatuses} {
		for _, s := range list {
			d.Digests[s.Name] = s.ImageDigest
		}
	}
	return true
}

// imagesFound takes back that an image could not be had.
func (d *decider) imagesFound() {
	if said := d.Status.GetCondition(servingv1.RevisionConditionContainerHealthy); said.IsFalse() && said.Reason == servingv1.ReasonContainerMissing {
		d.marks.ContainerHealthyUnknown(servingv1.ReasonDeploying, "")
	}
}

func (d *decider) pin(init, main map[string]string) {
	statuses := func(containers []corev1.Container, images map[string]string) []servingv1.ContainerStatus {
		var all []servingv1.ContainerStatus
		for _, c := range containers {
			all = append(all, servingv1.ContainerStatus{Name: c.Name, ImageDigest: images[c.Name]})
		}
		return all
	}
	d.Status.InitContainerStatuses = statuses(d.Revision.Spec.InitContainers, init)
	d.Status.ContainerStatuses = statuses(d.Revision.Spec.Containers, main)
}

func byName(containers []corev1.Container) map[string]string {
	images := map[string]string{}
	for _, c := range containers {
		if hasDigest(c.Image) {
			images[c.Name] = c.Image
		}
	}
	return images
}

func (d *decider) deployment() {
	want := workload.NewDeployment(d.Input.Input)
	switch have := d.Deployment; {
	case have == nil:
		d.Plan.Create = append(d.Plan.Create, want)
		d.marks.ResourcesAvailableUnknown(servingv1.ReasonDeploying, "")
		d.marks.ContainerHealthyUnknown(servingv1.ReasonDeploying, "")
	case !metav1.IsControlledBy(have, d.Revision):
		d.notOwned("Deployment", have.Name)
	default:
		if to := workload.Rollover(have, want); to != nil {
			d.Plan.Update = append(d.Plan.Update, apply.Update{From: have, To: to})
		}
		d.propagateDeployment(have)
	}
}

// cleared clears away what a Revision left whose name this one has taken over. It reports whether there was nothing.
func (d *decider) cleared() bool {
	var left []client.Object
	if have := d.Deployment; have != nil && apply.Leftover(have, d.Revision, workload.RevisionKind) {
		left = append(left, have)
	}
	if have := d.Service; have != nil && apply.Leftover(have, d.Revision, workload.RevisionKind) {
		left = append(left, have)
	}
	if have := d.PodAutoscaler; have != nil && apply.Leftover(have, d.Revision, workload.RevisionKind) {
		left = append(left, have)
	}
	for _, child := range left {
		d.Plan.Clear(child)
		d.marks.ResourcesAvailableUnknown(servingv1.ReasonDeploying, "")
		d.marks.ContainerHealthyUnknown(servingv1.ReasonDeploying, "")
	}
	return len(left) == 0
}

// notOwned gives up on a child that is another's.
func (d *decider) notOwned(kind, name string) {
	d.marks.ResourcesAvailableFalse(servingv1.ReasonNotOwned, servingv1.NotOwnedMessage(kind, name))
}

func (d *decider) propagateDeployment(have *appsv1.Deployment) {
	switch c := deploymentReady(&have.Status); c.Status {
	case corev1.ConditionTrue:
		d.marks.ResourcesAvailableTrue()
	case corev1.ConditionFalse:
		d.marks.ResourcesAvailableFalse(c.Reason, c.Message)
	default:
		d.marks.ResourcesAvailableUnknown(c.Reason, c.Message)
	}
	if NeedsPods(have) {
		d.troubles()
	}
	if have.Status.ReadyReplicas > 0 {
		d.marks.ContainerHealthyTrue()
	}
}

// deploymentReady sums up a Deployment: False if it does not progress or cannot make pods.
func deploymentReady(s *appsv1.DeploymentStatus) conditions.Condition {
	ready := conditions.Condition{Status: corev1.ConditionUnknown, Reason: servingv1.ReasonDeploying}
	for _, c := range s.Conditions {
		switch {
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			return conditions.Condition{Status: corev1.ConditionFalse, Reason: c.Reason, Message: c.Message}
		case c.Type != appsv1.DeploymentProgressing:
		case c.Status == corev1.ConditionTrue:
			ready = conditions.Condition{Status: c.Status}
		default:
			ready = conditions.Condition{Status: c.Status, Reason: c.Reason, Message: c.Message}
		}
	}
	return ready
}

func (d *decider) service() {
	switch have := d.Service; {
	case have == nil:
		d.Plan.Create = append(d.Plan.Create, workload.NewService(d.Input.Input))
	case !metav1.IsControlledBy(have, d.Revision):
		d.notOwned("Service", have.Name)
	default:
		if to := workload.AdjustService(have, d.Input.Input); to != nil {
			d.Plan.Update = append(d.Plan.Update, apply.Update{From: have, To: to})
		}
	}
}

func (d *decider) podAutoscaler() {
	switch have := d.PodAutoscaler; {
	case have == nil:
		pa := workload.NewPodAutoscaler(d.Input.Input, d.reachability())
		d.Plan.Create = append(d.Plan.Create, pa)
		d.propagateAutoscaler(&pa.Status)
	case !metav1.IsControlledBy(have, d.Revision):
		d.notOwned("PodAutoscaler", have.Name)
	default:
		d.propagateAutoscaler(&have.Status)
		if to := workload.AdjustPodAutoscaler(have, d.Input.Input, d.reachability()); to != nil {
			d.Plan.Update = append(d.Plan.Update, apply.Update{From: have, To: to})
		}
	}
}

func (d *decider) failing() bool {
	return d.Status.GetCondition(servingv1.RevisionConditionResourcesAvailable).IsFalse() ||
		d.Status.GetCondition(servingv1.RevisionConditionContainerHealthy).IsFalse()
}

// reachability says whether requests can come. To a revision whose replicas do not come up they cannot: its minimum shall not be kept.
func (d *decider) reachability() autoscalingv1alpha1.ReachabilityType {
	if have := d.Deployment; have != nil && d.failing() && ptr.Deref(have.Spec.Replicas, 0) > 0 && have.Status.ReadyReplicas == 0 {
		return autoscalingv1alpha1.ReachabilityUnreachable
	}
	switch d.Revision.RoutingState() {
	case servingv1.RoutingStateActive:
		return autoscalingv1alpha1.ReachabilityReachable
	case servingv1.RoutingStateReserve:
		return autoscalingv1alpha1.ReachabilityUnreachable
	}
	return autoscalingv1alpha1.ReachabilityUnknown
}

// propagateAutoscaler takes over what the autoscaler knows: whether the revision has ever been ready, and whether it sleeps.
func (d *decider) propagateAutoscaler(ps *autoscalingv1alpha1.PodAutoscalerStatus) {
	initialized := ps.IsScaleTargetInitialized()
	if initialized && d.asleep() {
		d.forgive()
	}
	failing := d.failing()
	d.Status.ActualReplicas, d.Status.DesiredReplicas = count(ps.ActualScale), count(ps.DesiredScale)
	active := ps.GetCondition(autoscalingv1alpha1.PodAutoscalerConditionActive)
	switch {
	case failing:
	case initialized:
		d.marks.ResourcesAvailableTrue()
		d.marks.ContainerHealthyTrue()
	case active.IsFalse() && active.Reason == autoscalingv1alpha1.ReasonTimedOut:
		// It was given up before it had ever been ready. One without traffic is merely idle.
		d.marks.ResourcesAvailableFalse(servingv1.ReasonProgressDeadlineExceeded, "Initial scale was never achieved")
	default:
		d.marks.ResourcesAvailableUnknown(servingv1.ReasonDeploying, "")
	}
	switch {
	case active == nil:
		d.marks.ActiveUnknown(servingv1.ReasonDeploying, "")
	case active.IsTrue():
		d.marks.ActiveTrue()
	case active.IsFalse():
		d.marks.ActiveFalse(active.Reason, active.Message)
	default:
		d.marks.ActiveUnknown(active.Reason, active.Message)
	}
}

// asleep reports whether the revision has no replicas and shall have none before somebody asks for it.
func (d *decider) asleep() bool {
	policy := autoscaling.ResolvePolicy(d.Revision.Annotations, d.Config.Autoscaler, d.Revision.Spec.Concurrency())
	return d.Deployment != nil && ptr.Deref(d.Deployment.Spec.Replicas, 1) == 0 && policy.MinScale == 0
}

// forgive takes back what earlier replicas ran into: the next ones may fare better, as they did when the revision was first ready.
func (d *decider) forgive() {
	if d.Status.GetCondition(servingv1.RevisionConditionContainerHealthy).IsFalse() {
		d.marks.ContainerHealthyUnknown(servingv1.ReasonDeploying, "")
	}
}

// count returns a copy of a scale, nil where it is unknown.
func count(scale *int32) *int32 {
	if scale == nil || *scale < 0 {
		return nil
	}
	return ptr.To(*scale)
}

// finish completes the status, chooses its pace and tells what has become of the revision.
func (d *decider) finish() {
	before := &d.Revision.Status
	d.Status.ObservedGeneration = d.Revision.Generation
	d.Status.KeepTransitionTimes(&before.Status)
	d.Pace = pace(before, &d.Status)
	was, is := before.GetCondition(servingv1.RevisionConditionReady), d.Status.GetCondition(servingv1.RevisionConditionReady)
	switch {
	case is.IsTrue() && !was.IsTrue():
		d.News = append(d.News, apply.Normal("RevisionReady", "Revision becomes ready upon all resources being ready"))
	case is.IsFalse() && (!was.IsFalse() || was.Reason != is.Reason):
		d.News = append(d.News, apply.Warning("RevisionFailed", fmt.Sprintf("%s: %s", is.Reason, is.Message)))
	}
}

// pace returns how soon a status is to be written in place of another.
func pace(before, after *servingv1.RevisionStatus) status.Pace {
	was, is := before.GetCondition(servingv1.RevisionConditionReady), after.GetCondition(servingv1.RevisionConditionReady)
	switch {
	case is.IsUnknown() && was.IsFalse():
		return status.Now // gateways turn requests away for as long as the failure is told
	case is.IsUnknown():
		return status.Soon
	case !is.IsTrue() || !was.IsTrue():
		return status.Now
	case after.GetCondition(servingv1.RevisionConditionActive).IsUnknown():
		return status.Late // it is being woken
	}
	return status.Calm
}
