package configuration

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/crds/serving/defaulting"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/naming"
	"ebb.dev/ebb/serving/status"
)

// Input is what a decision is made of.
type Input struct {
	// Configuration has its defaults.
	Configuration *servingv1.Configuration
	// Named is the Revision of the name that the next one has, whosever it is; nil if the name is free.
	Named *servingv1.Revision
	// Revisions are all that the Configuration made.
	Revisions []servingv1.Revision
	// Routes are the names of the Routes that will send traffic to a new Revision.
	Routes []string
	// BornAsleep says that the cluster starts no replica of a new Revision.
	BornAsleep bool
	// Defaults are those of today, without a user.
	Defaults defaulting.Input
	Now      time.Time
}

// Decision is what to do.
type Decision struct {
	Plan   apply.Plan
	Status servingv1.ConfigurationStatus
	Pace   status.Pace
	// News are told with the status.
	News []apply.Event
}

// Decide returns what a Configuration needs.
func Decide(in Input) Decision {
	d := &decider{Input: in}
	d.Status = *in.Configuration.Status.DeepCopy()
	d.marks = d.Status.Mark(metav1.NewTime(in.Now))
	status.Begin(d.marks.Manager, in.Configuration.Generation, in.Configuration.Status.ObservedGeneration)
	d.decide()
	d.finish()
	return d.Decision
}

// Refused is the decision after the API server has refused to make the Revision.
func Refused(in Input, err error) Decision {
	after := &decider{Input: in, Decision: Decision{Status: *in.Configuration.Status.DeepCopy()}}
	after.marks = after.Status.Mark(metav1.NewTime(in.Now))
	after.marks.RevisionCreationFailed(err.Error())
	after.finish()
	return after.Decision
}

type decider struct {
	Input
	Decision
	marks servingv1.ConfigurationMarks
	// failed is the name of the latest Revision, if it has failed.
	failed string
}

func (d *decider) decide() {
	latest := d.Named
	switch {
	case latest == nil:
		latest = d.newRevision()
		d.Plan.Create = append(d.Plan.Create, latest)
	case apply.Leftover(latest, d.Configuration, configurationKind):
		d.Plan.Clear(latest)
		return
	case !d.matches(latest):
		taken := apierrors.NewAlreadyExists(servingv1.Resource("revisions"), latest.Name)
		d.marks.RevisionCreationFailed(taken.Error())
		return
	}
	d.marks.LatestCreated(latest.Name)
	if ready := latest.Status.GetCondition(servingv1.RevisionConditionReady); ready.IsFalse() {
		d.failed = latest.Name
		d.marks.LatestCreatedFailed(latest.Name, ready.Message)
	}
	d.latestReady(latest)
}

// matches reports whether a Revision that has the name is the one that the Configuration wants.
func (d *decider) matches(r *servingv1.Revision) bool {
	if !metav1.IsControlledBy(r, d.Configuration) {
		return false
	}
	if r.Labels[serving.ConfigurationGenerationLabelKey] == strconv.FormatInt(d.Configuration.Generation, 10) {
		return true
	}
	// The user went back to a template that is there already. Only the spec counts: the rest may be edited on the Revision.
	return equality.Semantic.DeepEqual(d.complete(&d.Configuration.Spec.Template.Spec), d.complete(&r.Spec))
}

func (d *decider) complete(spec *servingv1.RevisionSpec) *servingv1.RevisionSpec {
	r := &servingv1.Revision{Spec: *spec.DeepCopy()}
	defaulting.Revision(r, nil, d.Defaults)
	return &r.Spec
}

// newRevision stamps out the Revision of the current generation.
func (d *decider) newRevision() *servingv1.Revision {
	c := d.Configuration
	r := &servingv1.Revision{ObjectMeta: *c.Spec.Template.ObjectMeta.DeepCopy(), Spec: *c.Spec.Template.Spec.DeepCopy()}
	r.Namespace, r.Name = c.Namespace, naming.Wanted(c)
	r.OwnerReferences = append(r.OwnerReferences, apply.OwnerOf(c, configurationKind)...)
	r.Labels = maps.Clone(r.Labels)
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	for key, value := range map[string]string{
		serving.ConfigurationLabelKey:           c.Name,
		serving.ConfigurationUIDLabelKey:        string(c.UID),
		serving.ConfigurationGenerationLabelKey: strconv.FormatInt(c.Generation, 10),
		serving.ServiceLabelKey:                 c.Labels[serving.ServiceLabelKey],
		serving.ServiceUIDLabelKey:              c.Labels[serving.ServiceUIDLabelKey],
	} {
		if value != "" {
			r.Labels[key] = value
		}
	}
	state := servingv1.RoutingStatePending
	if len(d.Routes) > 0 {
		state = servingv1.RoutingStateActive
	}
	r.SetRoutingState(state, d.Now)
	if len(d.Routes) > 0 {
		r.Annotations[serving.RoutesAnnotationKey] = strings.Join(slices.Sorted(slices.Values(d.Routes)), ",")
	}
	if _, _, given := autoscaling.InitialScaleKey.Get(r.Annotations); d.BornAsleep && !given && c.Status.LatestReadyRevisionName != "" {
		// What would take over from a Revision that answers shows first that it runs.
		r.Annotations[autoscaling.InitialScaleKey[0]] = "1"
	}
	if who, ok := c.Annotations[serving.LastModifierAnnotationKey]; ok {
		r.Annotations[serving.CreatorAnnotationKey] = who
	}
	return r
}

var configurationKind = servingv1.SchemeGroupVersion.WithKind("Configuration")

// latestReady finds the newest Revision that is ready, not older than the one that was it before.
func (d *decider) latestReady(latest *servingv1.Revision) {
	oldest := d.oldestCandidate()
	var best *servingv1.Revision
	for i := range d.Revisions {
		r := &d.Revisions[i]
		if r.Name != latest.Name && generationOf(r) < oldest || !r.IsReady() {
			continue
		}
		if best == nil || d.newer(r, best, latest.Name) {
			best = r
		}
	}
	if best != nil {
		d.marks.LatestReady(best.Name)
	}
}

// oldestCandidate is the generation of what was the latest ready Revision; with that gone any will do.
func (d *decider) oldestCandidate() int64 {
	for i := range d.Revisions {
		if d.Revisions[i].Name == d.Configuration.Status.LatestReadyRevisionName {
			return generationOf(&d.Revisions[i])
		}
	}
	return 0
}

// newer reports whether a goes before b. The Revision that the Configuration wants goes first, whatever generation first made it.
func (d *decider) newer(a, b *servingv1.Revision, wanted string) bool {
	if a.Name == wanted || b.Name == wanted {
		return a.Name == wanted
	}
	return cmp.Or(cmp.Compare(generationOf(a), generationOf(b)), cmp.Compare(a.Name, b.Name)) > 0
}

// generationOf is the Configuration's generation that made r, 0 if unknown.
func generationOf(r *servingv1.Revision) int64 {
	generation, err := strconv.ParseInt(r.Labels[serving.ConfigurationGenerationLabelKey], 10, 64)
	if err != nil {
		return 0
	}
	return generation
}

// finish completes the status, chooses its pace and tells what has become of the latest Revisions.
func (d *decider) finish() {
	before := &d.Configuration.Status
	d.Status.ObservedGeneration = d.Configuration.Generation
	d.Status.KeepTransitionTimes(&before.Status)
	ready := d.Status.GetCondition(servingv1.ConfigurationConditionReady)
	d.Pace = status.PaceOf(ready)
	tell := func(e apply.Event) { d.News = append(d.News, e) }
	latestReady := d.Status.LatestReadyRevisionName
	if latestReady != before.LatestReadyRevisionName {
		if before.LatestReadyRevisionName == "" {
			tell(apply.Normal("ConfigurationReady", "Configuration becomes ready"))
		}
		tell(apply.Normal("LatestReadyUpdate", fmt.Sprintf("LatestReadyRevisionName updated to %q", latestReady)))
	}
	if ready.IsFalse() && !same(ready, before.GetCondition(servingv1.ConfigurationConditionReady)) {
		tell(d.failure(ready))
	}
}

// failure tells that the latest Revision has failed, or that there is none because it could not be made.
func (d *decider) failure(ready *conditions.Condition) apply.Event {
	switch {
	case d.failed == "":
		return apply.Warning("CreationFailed", ready.Message)
	case d.failed == d.Status.LatestReadyRevisionName:
		return apply.Warning("LatestReadyFailed", fmt.Sprintf("Latest ready revision has failed: %s", ready.Message))
	}
	return apply.Warning("LatestCreatedFailed", fmt.Sprintf("Latest created revision has failed: %s", ready.Message))
}

func same(a, b *conditions.Condition) bool {
	return b != nil && a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
}
