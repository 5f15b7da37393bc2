package podspec

import (
	_ "embed"
	"fmt"
	"reflect"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

//go:embed fields.yaml
var table []byte

// Fields maps a core/v1 type's name to its fields that may be set, and each to the features of which one must be on.
type Fields map[string]map[string][]string

// Table returns the table. Callers must not change it.
var Table = sync.OnceValue(func() Fields {
	var fields Fields
	if err := yaml.UnmarshalStrict(table, &fields); err != nil {
		panic(fmt.Sprintf("podspec: fields.yaml: %v", err)) // compiled in: a test reads it
	}
	return fields
})

// Check returns an error for each field of spec that is set and may not be. open reports whether a feature is on. path is where spec is.
func Check(spec *corev1.PodSpec, open func(feature string) bool, path *field.Path) field.ErrorList {
	c := checker{open: open}
	c.walk(reflect.ValueOf(spec).Elem(), path)
	return c.errs
}

type checker struct {
	open func(feature string) bool
	errs field.ErrorList
}

func (c *checker) walk(v reflect.Value, path *field.Path) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.walk(v.Elem(), path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.walk(v.Index(i), path.Index(i))
		}
	case reflect.Struct:
		for _, f := range plans()[v.Type()] {
			value := v.FieldByIndex(f.index)
			switch {
			case isEmpty(value):
			case !f.listed:
				c.errs = append(c.errs, field.Forbidden(path.Child(f.name), "must not be set; revisions do not have this field, remove it"))
			case !c.anyOpen(f.features):
				c.errs = append(c.errs, field.Forbidden(path.Child(f.name), fmt.Sprintf(
					"must not be set; remove it, or set %s to Enabled in ConfigMap knative-serving/config-features", strings.Join(f.features, " or "))))
			case f.descend:
				c.walk(value, path.Child(f.name))
			}
		}
	}
}

func (c *checker) anyOpen(features []string) bool {
	for _, f := range features {
		if c.open(f) {
			return true
		}
	}
	return len(features) == 0
}

// isEmpty reports whether a field says nothing: an empty list or map is as good as an absent one.
func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// plannedField is what to do about one field of a listed type.
type plannedField struct {
	index    []int
	name     string
	listed   bool
	features []string
	descend  bool
}

// plans holds the fields of each listed type that is part of a PodSpec, inlined ones included.
var plans = sync.OnceValue(func() map[reflect.Type][]plannedField {
	plans := map[reflect.Type][]plannedField{}
	plan(reflect.TypeFor[corev1.PodSpec](), plans)
	return plans
})

// plan adds t, and the types its fields lead to, if the table lists it.
func plan(t reflect.Type, plans map[reflect.Type][]plannedField) {
	fields, listed := Table()[t.Name()]
	if _, done := plans[t]; done || !listed {
		return
	}
	plans[t] = nil // before the descent: a type may lead back to itself
	var planned []plannedField
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && (name == "" || options == "inline") {
			continue // its own fields are visible too
		}
		child := f.Type
		for child.Kind() == reflect.Pointer || child.Kind() == reflect.Slice {
			child = child.Elem()
		}
		features, ok := fields[name]
		_, descend := Table()[child.Name()]
		planned = append(planned, plannedField{index: f.Index, name: name, listed: ok, features: features, descend: descend && child.Kind() == reflect.Struct})
		if child.Kind() == reflect.Struct {
			plan(child, plans)
		}
	}
	plans[t] = planned
}
