package validation

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/crds/serving/defaulting"
	v1 "ebb.dev/ebb/crds/serving/v1"
)

// Result is what is wrong with an object, and what may not be meant.
type Result struct {
	Errors   field.ErrorList
	Warnings []string
}

func (r *Result) add(errs ...*field.Error) { r.Errors = append(r.Errors, errs...) }

func (r *Result) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Service validates s. old is the Service it replaces, nil for a new one.
func Service(s, old *v1.Service, cfg *config.Set) Result {
	var r Result
	r.add(objectMeta(&s.ObjectMeta, field.NewPath("metadata"))...)
	r.add(async.Validate(s.Annotations, s.Labels, field.NewPath("metadata"))...)
	r.add(rolloutDuration(s.Annotations, field.NewPath("metadata", "annotations"))...)
	r.visibility(s.Labels, field.NewPath("metadata", "labels"))
	r.template(&s.Spec.Template, &s.ObjectMeta, cfg, field.NewPath("spec", "template"))
	r.add(traffic(s.Spec.Traffic, true, field.NewPath("spec", "traffic"))...)
	if old != nil {
		r.add(signatures(s.Annotations, old.Annotations, equal(s.Spec, old.Spec))...)
		r.add(nameChange(&s.Spec.Template, &old.Spec.Template, s.ObjectMeta, cfg)...)
	}
	return r
}

// Configuration validates c. old is the Configuration it replaces, nil for a new one.
func Configuration(c, old *v1.Configuration, cfg *config.Set) Result {
	var r Result
	meta := field.NewPath("metadata")
	r.add(objectMeta(&c.ObjectMeta, meta)...)
	r.add(ownerLabel(&c.ObjectMeta, serving.ServiceLabelKey, "Service", meta.Child("labels"))...)
	r.template(&c.Spec.Template, &c.ObjectMeta, cfg, field.NewPath("spec", "template"))
	if old != nil {
		if len(c.OwnerReferences) == 0 {
			r.add(signatures(c.Annotations, old.Annotations, equal(c.Spec, old.Spec))...)
		}
		r.add(nameChange(&c.Spec.Template, &old.Spec.Template, c.ObjectMeta, cfg)...)
	}
	if len(c.OwnerReferences) > 0 {
		r.Warnings = nil // its Service's user has been told
	}
	return r
}

// Revision validates rev. old is the Revision it replaces, nil for a new one: only metadata and status may differ from it.
func Revision(rev, old *v1.Revision, cfg *config.Set) Result {
	var r Result
	meta := field.NewPath("metadata")
	r.add(objectName(&rev.ObjectMeta, meta)...)
	r.autoscaling(rev.Annotations, cfg, meta.Child("annotations"))
	r.add(ownerLabel(&rev.ObjectMeta, serving.ConfigurationLabelKey, "Configuration", meta.Child("labels"))...)
	switch {
	case old == nil:
		r.revisionSpec(&rev.Spec, cfg, field.NewPath("spec"))
	case !equal(rev.Spec, old.Spec):
		r.add(field.Forbidden(field.NewPath("spec"), fmt.Sprintf(
			"must not change (%s); revisions are immutable, change the Service or Configuration for a new one", changes(old.Spec, rev.Spec))))
	}
	if len(rev.OwnerReferences) > 0 {
		r.Warnings = nil
	}
	return r
}

// Route validates rt. old is the Route it replaces, nil for a new one.
func Route(rt, old *v1.Route, _ *config.Set) Result {
	var r Result
	meta := field.NewPath("metadata")
	r.add(objectMeta(&rt.ObjectMeta, meta)...)
	r.add(async.Validate(rt.Annotations, rt.Labels, meta)...)
	r.add(ownerLabel(&rt.ObjectMeta, serving.ServiceLabelKey, "Service", meta.Child("labels"))...)
	r.add(rolloutDuration(rt.Annotations, meta.Child("annotations"))...)
	r.visibility(rt.Labels, meta.Child("labels"))
	r.add(traffic(rt.Spec.Traffic, false, field.NewPath("spec", "traffic"))...)
	if old != nil && len(rt.OwnerReferences) == 0 {
		r.add(signatures(rt.Annotations, old.Annotations, equal(rt.Spec, old.Spec))...)
	}
	return r
}

// nameChange refuses a template that differs from the one before while it keeps the name that the user gave it: the name stands for
// a revision that exists and cannot change.
func nameChange(t, old *v1.RevisionTemplateSpec, parent metav1.ObjectMeta, cfg *config.Set) field.ErrorList {
	if t.Name == "" || t.Name != old.Name || equal(t, old) {
		return nil
	}
	// Compared with its defaults, so that only what the user changed is told.
	completed := defaulting.Completed(t, old, parent, defaulting.Input{Defaults: cfg.Defaults, Features: cfg.Features})
	return field.ErrorList{field.Invalid(field.NewPath("spec", "template", "metadata", "name"), t.Name, fmt.Sprintf(
		"is the name of the revision before, and the template has changed (%s); give it a new name, or none", changes(old, completed)))}
}
