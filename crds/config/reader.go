package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/serving"
)

// reader takes values out of a ConfigMap's data, each into its place, and remembers what was wrong and what nobody asked for.
type reader struct {
	object string // as errors and warnings name it
	data   map[string]string
	asked  map[string]bool
	warned []string
	failed []error
}

func read(name string, data map[string]string) *reader {
	return &reader{object: ObjectName(name), data: data, asked: map[string]bool{}}
}

func readEventing(name string, data map[string]string) *reader {
	return &reader{object: EventingObjectName(name), data: data, asked: map[string]bool{}}
}

// ObjectName is how errors and warnings name a ConfigMap of namespace knative-serving.
func ObjectName(name string) string {
	return "ConfigMap " + serving.SystemNamespace + "/" + name
}

// EventingObjectName is how errors and warnings name a ConfigMap of namespace knative-eventing.
func EventingObjectName(name string) string {
	return "ConfigMap " + eventing.SystemNamespace + "/" + name
}

// done returns the warnings, with one for each key that was not asked for, and all errors as one.
func (r *reader) done() ([]string, error) {
	for _, key := range slices.Sorted(maps.Keys(r.data)) {
		if r.asked[key] || strings.HasPrefix(key, "_") { // _example is documentation that ships inside the ConfigMap
			continue
		}
		r.warn(key, "unknown key, kept but without effect%s", r.hint(key))
	}
	return r.warned, errors.Join(r.failed...)
}

// hint names the key that somebody who wrote key may have meant.
func (r *reader) hint(key string) string {
	for _, known := range slices.Sorted(maps.Keys(r.asked)) {
		if spelled(known) == spelled(key) {
			return "; did you mean " + known + "?"
		}
	}
	return ""
}

// spelled reduces a key to what is left when people remember it half.
func spelled(key string) string {
	return strings.ToLower(strings.NewReplacer("-", "", ".", "", "_", "").Replace(key))
}

func (r *reader) warn(key, format string, args ...any) {
	r.warned = append(r.warned, fmt.Sprintf("%s: %s: %s", r.object, key, fmt.Sprintf(format, args...)))
}

// fail notes a wrong value. The text says what it is not and what to write.
func (r *reader) fail(key, format string, args ...any) {
	r.failed = append(r.failed, fmt.Errorf("%s: %s: %s", r.object, key, fmt.Sprintf(format, args...)))
}

// value returns the value of key, or of an older name of it, with a warning. The current name counts where both are set.
func (r *reader) value(key string, older ...string) (string, bool) {
	value, found := r.data[key]
	r.asked[key] = true
	for _, old := range older {
		r.asked[old] = true
		oldValue, ok := r.data[old]
		switch {
		case ok && found:
			r.warn(old, "is an older name of %s, which is set too and counts", key)
		case ok:
			r.warn(old, "is an older name of %s; it works, please rename it", key)
			value, found = oldValue, true
		}
	}
	return strings.TrimSpace(value), found
}

func (r *reader) text(into *string, key string, older ...string) {
	if s, ok := r.value(key, older...); ok {
		*into = s
	}
}

func (r *reader) truth(into *bool, key string, older ...string) {
	if s, ok := r.value(key, older...); ok {
		b, err := strconv.ParseBool(s)
		if err != nil {
			r.fail(key, "%q is not a truth value; write \"true\" or \"false\"", s)
			return
		}
		*into = b
	}
}

func (r *reader) whole(into *int64, key string, older ...string) {
	if s, ok := r.value(key, older...); ok {
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			r.fail(key, "%q is not a whole number of 64 bits; write one such as \"10\"", s)
			return
		}
		*into = i
	}
}

func (r *reader) duration(into *time.Duration, key string, older ...string) {
	if s, ok := r.value(key, older...); ok {
		d, err := time.ParseDuration(s)
		if err != nil {
			r.fail(key, "%q is not a duration; write one such as \"60s\" or \"5m\"", s)
			return
		}
		*into = d
	}
}

func (r *reader) quantity(into **resource.Quantity, key string, older ...string) {
	if s, ok := r.value(key, older...); ok {
		q, err := resource.ParseQuantity(s)
		if err != nil {
			r.fail(key, "%q is not a quantity; write one such as \"100m\" or \"128Mi\"", s)
			return
		}
		*into = &q
	}
}

// list reads names separated by commas.
func (r *reader) list(into *[]string, key string, older ...string) {
	if s, ok := r.value(key, older...); ok {
		*into = nil
		for name := range strings.SplitSeq(s, ",") {
			if name = strings.TrimSpace(name); name != "" {
				*into = append(*into, name)
			}
		}
	}
}

// choice reads one of some words, in whatever case, and stores it as it is spelled in words.
func choice[T ~string](r *reader, into *T, words []T, key string, older ...string) {
	s, ok := r.value(key, older...)
	if !ok || s == "" {
		return
	}
	for _, word := range words {
		if strings.EqualFold(s, string(word)) {
			*into = word
			return
		}
	}
	names := make([]string, len(words))
	for i, word := range words {
		names[i] = strconv.Quote(string(word))
	}
	r.fail(key, "%q is not known; write one of %s", s, strings.Join(names, ", "))
}
