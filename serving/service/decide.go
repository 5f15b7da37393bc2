package service

import (
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/crds/serving/defaulting"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/status"
)

// Input is what a decision is made of. Objects that are not there are nil.
type Input struct {
	// Service has its defaults.
	Service       *servingv1.Service
	Configuration *servingv1.Configuration
	Route         *servingv1.Route
	// Named is the Revision of the name that the template gives, whosever it is.
	Named *servingv1.Revision
	// Defaults are those of today, without a user.
	Defaults defaulting.Input
	Now      time.Time
}

// Decision is what to do.
type Decision struct {
	Plan   apply.Plan
	Status servingv1.ServiceStatus
	Pace   status.Pace
}

// Decide returns what a Service needs.
func Decide(in Input) Decision {
	d := &decider{Input: in}
	d.Status = *in.Service.Status.DeepCopy()
	d.marks = d.Status.Mark(metav1.NewTime(in.Now))
	status.Begin(d.marks.Manager, in.Service.Generation, in.Service.Status.ObservedGeneration)
	if d.configuration() && d.nameFree() && d.route() {
		d.checkMigrated()
	}
	d.Status.ObservedGeneration = in.Service.Generation
	d.Status.KeepTransitionTimes(&in.Service.Status.Status)
	d.Pace = status.PaceOf(d.Status.GetCondition(servingv1.ServiceConditionReady))
	return d.Decision
}

type decider struct {
	Input
	Decision
	marks servingv1.ServiceMarks
	// generation is the Configuration's once the plan is carried out, 0 if it is new.
	generation int64
}

// configuration makes the Configuration what it should be. It reports whether to go on.
func (d *decider) configuration() bool {
	have := d.Configuration
	if have == nil {
		d.Plan.Create = append(d.Plan.Create, newConfiguration(d.Service, nil))
		d.marks.ConfigurationNotReconciled()
		return true
	}
	if apply.Leftover(have, d.Service, serviceKind) {
		d.Plan.Clear(have)
		d.marks.ConfigurationNotReconciled()
		return false
	}
	if !metav1.IsControlledBy(have, d.Service) {
		d.marks.ConfigurationNotOwned(have.Name)
		return false
	}
	d.generation = have.Generation
	want := newConfiguration(d.Service, have)
	respecified := !d.sameTemplate(&have.Spec.Template, &want.Spec.Template)
	if respecified || !sameMeta(have, want) {
		to := have.DeepCopy()
		to.Labels, to.Annotations = want.Labels, want.Annotations
		if respecified {
			to.Spec = want.Spec
			d.generation++
		}
		d.Plan.Update = append(d.Plan.Update, apply.Update{From: have, To: to})
	}
	if respecified || have.Generation != have.Status.ObservedGeneration {
		d.marks.ConfigurationNotReconciled()
	} else {
		d.marks.PropagateConfiguration(&have.Status)
	}
	return true
}

// sameTemplate compares two templates as they are with the defaults of today: that a default has changed is no change of the user's.
func (d *decider) sameTemplate(a, b *servingv1.RevisionTemplateSpec) bool {
	if equality.Semantic.DeepEqual(a, b) {
		return true
	}
	complete := func(t *servingv1.RevisionTemplateSpec) *servingv1.RevisionTemplateSpec {
		c := &servingv1.Configuration{Spec: servingv1.ConfigurationSpec{Template: *t.DeepCopy()}}
		c.Name = d.Service.Name
		defaulting.Configuration(c, nil, d.Defaults)
		return &c.Spec.Template
	}
	return equality.Semantic.DeepEqual(complete(a), complete(b))
}

func sameMeta(a, b metav1.Object) bool {
	return equality.Semantic.DeepEqual(a.GetLabels(), b.GetLabels()) && equality.Semantic.DeepEqual(a.GetAnnotations(), b.GetAnnotations())
}

// nameFree reports whether the name that the template gives is this Configuration's to use, for this very template.
func (d *decider) nameFree() bool {
	named := d.Named
	if named == nil {
		return true
	}
	if d.leftover(named) {
		return true
	}
	ours := d.Configuration != nil && metav1.IsControlledBy(named, d.Configuration)
	sameGeneration := named.Labels[serving.ConfigurationGenerationLabelKey] == strconv.FormatInt(d.generation, 10)
	if ours && (sameGeneration || d.sameTemplate(&servingv1.RevisionTemplateSpec{Spec: named.Spec}, &servingv1.RevisionTemplateSpec{Spec: d.Service.Spec.Template.Spec})) {
		return true
	}
	d.marks.RevisionNameTaken(d.Service.Spec.Template.Name)
	return false
}

// leftover reports whether a Revision belonged to a Configuration that is no more. Ours clears it away.
func (d *decider) leftover(named *servingv1.Revision) bool {
	if d.Configuration != nil {
		return apply.Leftover(named, d.Configuration, configurationKind)
	}
	of := metav1.GetControllerOf(named)
	return of != nil && of.Kind == configurationKind.Kind && of.Name == d.Service.Name
}

// route makes the Route what it should be. It reports whether to go on.
func (d *decider) route() bool {
	have := d.Route
	want := newRoute(d.Service)
	if have == nil {
		d.Plan.Create = append(d.Plan.Create, want)
		d.marks.RouteNotReconciled()
		return false
	}
	if apply.Leftover(have, d.Service, serviceKind) {
		d.Plan.Clear(have)
		d.marks.RouteNotReconciled()
		return false
	}
	if !metav1.IsControlledBy(have, d.Service) {
		d.marks.RouteNotOwned(have.Name)
		return false
	}
	respecified := !equality.Semantic.DeepEqual(have.Spec, want.Spec)
	if respecified || !sameMeta(have, want) {
		to := have.DeepCopy()
		to.Spec, to.Labels, to.Annotations = want.Spec, want.Labels, want.Annotations
		d.Plan.Update = append(d.Plan.Update, apply.Update{From: have, To: to})
	}
	if respecified || have.Generation != have.Status.ObservedGeneration {
		d.marks.RouteNotReconciled()
		return false
	}
	d.marks.PropagateRoute(&have.Status)
	return true
}

// checkMigrated doubts a Route that is ready, while its traffic is not yet what the Configuration's latest Revision makes of it.
func (d *decider) checkMigrated() {
	if d.Status.GetCondition(servingv1.ServiceConditionRoutesReady).IsTrue() && !d.migrated() {
		d.marks.RouteNotYetReady()
	}
}

func (d *decider) migrated() bool {
	latest := ""
	if d.Configuration != nil {
		latest = d.Configuration.Status.LatestReadyRevisionName
	}
	return slices.EqualFunc(d.Route.Spec.Traffic, d.Route.Status.Traffic, func(want, got servingv1.TrafficTarget) bool {
		revision := want.RevisionName
		if want.ConfigurationName == d.Service.Name {
			revision = latest
		}
		return revision == got.RevisionName && want.Tag == got.Tag && ptr.Deref(want.Percent, 0) == ptr.Deref(got.Percent, 0)
	})
}
