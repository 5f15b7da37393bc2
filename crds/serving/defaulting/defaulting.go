package defaulting

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	v1 "ebb.dev/ebb/crds/serving/v1"
)

// Input is what decides the defaults beside the object itself.
type Input struct {
	Defaults *config.Defaults
	Features config.Features
	// User is who asks; "" leaves the creator and lastModifier annotations alone.
	User string
}

// Service completes s. old is the Service it replaces, nil for a new one.
func Service(s, old *v1.Service, in Input) {
	var oldSpec *v1.ServiceSpec
	var oldTemplate *v1.RevisionTemplateSpec
	if old != nil {
		oldSpec, oldTemplate = &old.Spec, &old.Spec.Template
	}
	template(&s.Spec.Template, oldTemplate, s.ObjectMeta, in)
	if len(s.Spec.Traffic) == 0 {
		s.Spec.Traffic = []v1.TrafficTarget{{LatestRevision: ptr.To(true), Percent: ptr.To[int64](100)}}
	}
	traffic(s.Spec.Traffic)
	if old != nil {
		keepSignatures(&s.ObjectMeta, &old.ObjectMeta)
	}
	sign(&s.ObjectMeta, oldSpec, &s.Spec, in.User)
}

// Configuration completes c. old is the Configuration it replaces, nil for a new one.
func Configuration(c, old *v1.Configuration, in Input) {
	var oldSpec *v1.ConfigurationSpec
	var oldTemplate *v1.RevisionTemplateSpec
	if old != nil {
		oldSpec, oldTemplate = &old.Spec, &old.Spec.Template
	}
	template(&c.Spec.Template, oldTemplate, c.ObjectMeta, in)
	if old != nil {
		keepSignatures(&c.ObjectMeta, &old.ObjectMeta)
	}
	if len(c.OwnerReferences) == 0 {
		sign(&c.ObjectMeta, oldSpec, &c.Spec, in.User)
	}
}

// Revision completes r if it is new. One that exists is immutable and left alone.
func Revision(r, old *v1.Revision, in Input) {
	if old == nil {
		revisionSpec(&r.Spec, metav1.ObjectMeta{}, in.Defaults.EnableServiceLinks, in)
	}
}

// Route completes r. old is the Route it replaces, nil for a new one.
func Route(r, old *v1.Route, in Input) {
	var oldSpec *v1.RouteSpec
	if old != nil {
		oldSpec = &old.Spec
	}
	traffic(r.Spec.Traffic)
	if old != nil {
		keepSignatures(&r.ObjectMeta, &old.ObjectMeta)
	}
	if len(r.OwnerReferences) == 0 {
		sign(&r.ObjectMeta, oldSpec, &r.Spec, in.User)
	}
}

// template completes t, the template of parent.
//
// A template that keeps a name of the user's own must not change. So its defaults are taken only if they make it what it was:
// defaults that have changed since must not look like a change of the user's. Otherwise it stays as written, for validation to judge.
func template(t, old *v1.RevisionTemplateSpec, parent metav1.ObjectMeta, in Input) {
	switch {
	case old == nil:
		revisionSpec(&t.Spec, parent, in.Defaults.EnableServiceLinks, in)
	case t.Name == "" || t.Name != old.Name:
		*t = *Completed(t, old, parent, in)
	default:
		if completed := Completed(t, old, parent, in); equality.Semantic.DeepEqual(completed, old) {
			*t = *completed
		}
	}
}

// Completed returns the template of an update with its defaults. What is decided once, when an object is new, it takes from old:
// the cluster may want otherwise by now, and users who did not ask for a change shall not get one.
func Completed(t, old *v1.RevisionTemplateSpec, parent metav1.ObjectMeta, in Input) *v1.RevisionTemplateSpec {
	completed := t.DeepCopy()
	revisionSpec(&completed.Spec, parent, old.Spec.EnableServiceLinks, in)
	return completed
}

func traffic(targets []v1.TrafficTarget) {
	for i := range targets {
		if targets[i].LatestRevision == nil {
			targets[i].LatestRevision = ptr.To(targets[i].RevisionName == "")
		}
		if targets[i].Percent == nil {
			targets[i].Percent = ptr.To[int64](0)
		}
	}
}

// sign notes who created the object and who last changed its spec.
func sign[Spec any](meta *metav1.ObjectMeta, old, spec *Spec, user string) {
	if user == "" || (old != nil && equality.Semantic.DeepEqual(old, spec)) {
		return
	}
	if old == nil {
		annotate(meta, serving.CreatorAnnotationKey, user)
	}
	annotate(meta, serving.LastModifierAnnotationKey, user)
}

// keepSignatures puts back what an update leaves out. Whoever replaces an object by a file does not know its signatures.
func keepSignatures(meta, old *metav1.ObjectMeta) {
	for _, key := range []string{serving.CreatorAnnotationKey, serving.LastModifierAnnotationKey} {
		was, signed := old.Annotations[key]
		if _, kept := meta.Annotations[key]; signed && !kept {
			annotate(meta, key, was)
		}
	}
}

func annotate(meta *metav1.ObjectMeta, key, value string) {
	if meta.Annotations == nil {
		meta.Annotations = map[string]string{}
	}
	meta.Annotations[key] = value
}
