package validation

import (
	"fmt"
	"strings"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/crds/serving"
)

// objectMeta is the rule for kinds that are not scaled themselves.
func objectMeta(meta *metav1.ObjectMeta, path *field.Path) field.ErrorList {
	return append(objectName(meta, path), autoscaling.ForbidAnnotations(meta.Annotations, path.Child("annotations"))...)
}

func objectName(meta *metav1.ObjectMeta, path *field.Path) field.ErrorList {
	if meta.Name == "" && meta.GenerateName == "" {
		return field.ErrorList{field.Required(path.Child("name"), "give a name or a generateName")}
	}
	return append(dns1035(meta.GenerateName, true, path.Child("generateName")), dns1035(meta.Name, false, path.Child("name"))...)
}

// dns1035 refuses a name that cannot be a label of a host. An empty one is fine.
func dns1035(name string, prefix bool, path *field.Path) field.ErrorList {
	if name == "" {
		return nil
	}
	if problems := apivalidation.NameIsDNS1035Label(name, prefix); len(problems) > 0 {
		return field.ErrorList{field.Invalid(path, name, "not a DNS 1035 label: "+problems[0])}
	}
	return nil
}

// ownerLabel refuses a label that claims an owner whom no owner reference names.
func ownerLabel(meta *metav1.ObjectMeta, key, kind string, path *field.Path) field.ErrorList {
	value, ok := meta.Labels[key]
	if !ok {
		return nil
	}
	for _, owner := range meta.OwnerReferences {
		if owner.Kind == kind && owner.Name == value {
			return nil
		}
	}
	return field.ErrorList{field.Invalid(path.Key(key), value, fmt.Sprintf("must name the %s that owns this; the system sets the label, remove it", kind))}
}

// signatures refuses changes to who created an object, and to who last changed it if nothing changed.
func signatures(annotations, old map[string]string, sameSpec bool) field.ErrorList {
	path := field.NewPath("metadata", "annotations")
	var errs field.ErrorList
	if was, is := old[serving.CreatorAnnotationKey], annotations[serving.CreatorAnnotationKey]; was != is {
		errs = append(errs, field.Invalid(path.Key(serving.CreatorAnnotationKey), is, fmt.Sprintf("annotation value is immutable; keep %q", was)))
	}
	if was, is := old[serving.LastModifierAnnotationKey], annotations[serving.LastModifierAnnotationKey]; sameSpec && was != is {
		errs = append(errs, field.Invalid(path.Key(serving.LastModifierAnnotationKey), is, fmt.Sprintf("the system sets this annotation; keep %q", was)))
	}
	return errs
}

func rolloutDuration(annotations map[string]string, path *field.Path) field.ErrorList {
	key, value, _ := serving.Lookup(annotations, serving.RolloutDurationAnnotationKey, serving.RolloutDurationAltAnnotationKey)
	if value == "" {
		return nil
	}
	return wholeSeconds(value, 0, path.Key(key))
}

// wholeSeconds refuses what is no duration, no whole number of seconds, or less than least.
func wholeSeconds(value string, least time.Duration, path *field.Path) field.ErrorList {
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d%time.Second != 0 {
		return field.ErrorList{field.Invalid(path, value, fmt.Sprintf("must be a duration in whole seconds, at least %v, such as \"120s\"", least))}
	}
	return nil
}

// visibility warns of a value that keeps nothing inside the cluster.
func (r *Result) visibility(labels map[string]string, path *field.Path) {
	if value, ok := labels[networking.VisibilityLabelKey]; ok && value != networking.VisibilityClusterLocal {
		r.warn("%s: %q has no effect; the only value is %q", path.Key(networking.VisibilityLabelKey), value, networking.VisibilityClusterLocal)
	}
}

// autoscaling validates the annotations that say how a revision scales, and warns of those that say nothing.
func (r *Result) autoscaling(annotations map[string]string, cfg *config.Set, path *field.Path) {
	r.add(autoscaling.ValidateAnnotations(annotations, cfg.Autoscaler, path)...)
	for _, key := range sortedKeys(annotations) {
		if strings.HasPrefix(key, autoscaling.GroupName+"/") && !isAutoscalingKey(key) {
			r.warn("%s: unknown key, kept but without effect", path.Key(key))
		}
	}
}

func isAutoscalingKey(key string) bool {
	for _, known := range autoscaling.Keys() {
		for _, spelling := range known {
			if spelling == key {
				return true
			}
		}
	}
	return false
}
