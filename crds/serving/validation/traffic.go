package validation

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	v1 "ebb.dev/ebb/crds/serving/v1"
)

// traffic validates the targets of a Route, or of a Service, whose targets are its own revisions.
func traffic(targets []v1.TrafficTarget, inService bool, path *field.Path) field.ErrorList {
	if len(targets) == 0 {
		return field.ErrorList{field.Required(path, "give at least one target")}
	}
	var errs field.ErrorList
	tags := map[string]bool{}
	for i := range targets {
		errs = append(errs, target(&targets[i], inService, path.Index(i))...)
		tag := targets[i].Tag
		if tags[tag] {
			errs = append(errs, field.Duplicate(path.Index(i).Child("tag"), tag))
		}
		tags[tag] = tag != ""
	}
	return append(errs, sum(targets, path)...)
}

func target(t *v1.TrafficTarget, inService bool, path *field.Path) field.ErrorList {
	errs := revisionOrConfiguration(t, inService, path)
	if latest := t.LatestRevision; latest != nil && *latest == (t.RevisionName != "") {
		errs = append(errs, field.Invalid(path.Child("latestRevision"), *latest, fmt.Sprintf(
			"may not be %t with revisionName %q; leave out latestRevision, it follows from revisionName", *latest, t.RevisionName)))
	}
	if p := ptr.Deref(t.Percent, 0); p < 0 || p > 100 {
		errs = append(errs, field.Invalid(path.Child("percent"), p, "must be from 0 to 100"))
	}
	if t.Tag != "" {
		errs = append(errs, dns1035(t.Tag, false, path.Child("tag"))...)
	}
	if t.URL != "" {
		errs = append(errs, field.Forbidden(path.Child("url"), "must not be set; the system shows it in the status, remove it"))
	}
	return errs
}

func revisionOrConfiguration(t *v1.TrafficTarget, inService bool, path *field.Path) field.ErrorList {
	switch {
	case inService && t.ConfigurationName != "":
		return field.ErrorList{field.Forbidden(path.Child("configurationName"), "must not be set in a Service; its targets are its own revisions, remove it")}
	case t.RevisionName != "" && t.ConfigurationName != "":
		return field.ErrorList{field.Forbidden(path.Child("configurationName"), "must not be set beside revisionName; keep one of them")}
	case t.RevisionName != "":
		return qualifiedName(t.RevisionName, path.Child("revisionName"))
	case t.ConfigurationName != "":
		return qualifiedName(t.ConfigurationName, path.Child("configurationName"))
	case !inService:
		return field.ErrorList{field.Required(path, "give revisionName or configurationName")}
	}
	return nil
}

func qualifiedName(name string, path *field.Path) field.ErrorList {
	if problems := validation.IsQualifiedName(name); len(problems) > 0 {
		return field.ErrorList{field.Invalid(path, name, "is no name: "+problems[0])}
	}
	return nil
}

// sum refuses percentages that do not add up to 100, at the last target that has one.
func sum(targets []v1.TrafficTarget, path *field.Path) field.ErrorList {
	total, last := int64(0), 0
	var shares []string
	for i := range targets {
		if p := ptr.Deref(targets[i].Percent, 0); p != 0 {
			total += p
			last = i
			shares = append(shares, fmt.Sprint(p))
		}
	}
	if total == 100 {
		return nil
	}
	arithmetic := strings.Join(shares, " + ")
	if len(shares) > 1 {
		arithmetic += fmt.Sprintf(" = %d", total)
	}
	if len(shares) == 0 {
		arithmetic = "0"
	}
	return field.ErrorList{field.Invalid(path.Index(last).Child("percent"), field.OmitValueType{}, arithmetic+", must add up to 100")}
}
