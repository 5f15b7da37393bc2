package validation

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/cesql"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
)

// attributeName is what CloudEvents attributes may be called here: Knative's rule, which is a little narrower than the specification's.
var attributeName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

const attributeRule = "must be the name of an attribute: lower-case letters and digits, a letter first"

func (r *Result) attributes(attributes map[string]string, path *field.Path) {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !attributeName.MatchString(name) {
			r.add(field.Invalid(path.Key(name), name, attributeRule))
		}
	}
}

func (r *Result) filters(filters []eventingv1.SubscriptionsAPIFilter, path *field.Path) {
	for i := range filters {
		r.filter(&filters[i], path.Index(i))
	}
}

// filter validates one expression: of one dialect, with names that attributes can have.
func (r *Result) filter(f *eventingv1.SubscriptionsAPIFilter, path *field.Path) {
	if dialects := dialectsOf(f); len(dialects) > 1 {
		r.add(field.Forbidden(path, fmt.Sprintf("has several dialects (%s), and must have one; write an entry for each, or nest them in all", strings.Join(dialects, ", "))))
	}
	r.attributes(f.Exact, path.Child("exact"))
	r.attributes(f.Prefix, path.Child("prefix"))
	r.attributes(f.Suffix, path.Child("suffix"))
	r.filters(f.All, path.Child("all"))
	r.filters(f.Any, path.Child("any"))
	if f.Not != nil {
		r.filter(f.Not, path.Child("not"))
	}
	if f.CESQL != "" {
		if _, err := cesql.Parse(f.CESQL); err != nil {
			r.add(field.Invalid(path.Child("cesql"), f.CESQL, fmt.Sprintf("is no CloudEvents SQL expression: %v; write one such as \"type = 'order.created'\"", err)))
		}
	}
}

func dialectsOf(f *eventingv1.SubscriptionsAPIFilter) []string {
	var found []string
	for _, dialect := range []struct {
		name string
		set  bool
	}{
		{"all", len(f.All) > 0}, {"any", len(f.Any) > 0}, {"not", f.Not != nil},
		{"exact", len(f.Exact) > 0}, {"prefix", len(f.Prefix) > 0}, {"suffix", len(f.Suffix) > 0}, {"cesql", f.CESQL != ""},
	} {
		if dialect.set {
			found = append(found, dialect.name)
		}
	}
	return found
}
