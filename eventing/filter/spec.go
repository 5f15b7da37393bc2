package filter

// Spec is the filters of a Trigger, with the JSON of its spec: what is in a TriggerSpec besides is left out. Filters override Filter, as in
// Knative.
type Spec struct {
	// Filter is the older form.
	Filter *AttributesFilter `json:"filter,omitempty"`
	// Filters must all pass; none passes everything.
	Filters []Dialect `json:"filters,omitempty"`
}

// AttributesFilter passes what has each of the attributes with exactly the value given; the empty value asks only that the event has the
// attribute.
type AttributesFilter struct {
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Dialect is a filter in one of the dialects of the CloudEvents Subscriptions API (section 3.2.4): exactly one field is set. One with no
// field says nothing, and what says nothing passes everything; so does the Not of it, as in Knative.
type Dialect struct {
	// Exact, Prefix and Suffix pass what has all of the attributes with values that are, begin with, or end with those given.
	Exact  map[string]string `json:"exact,omitempty"`
	Prefix map[string]string `json:"prefix,omitempty"`
	Suffix map[string]string `json:"suffix,omitempty"`
	// All passes what every one passes, Any what at least one passes, Not what the other does not pass.
	All []Dialect `json:"all,omitempty"`
	Any []Dialect `json:"any,omitempty"`
	Not *Dialect  `json:"not,omitempty"`
	// CESQL is a CloudEvents SQL expression; it passes what it is true for, without an error.
	CESQL string `json:"cesql,omitempty"`
}

// names are the dialects that are set.
func (d *Dialect) names() []string {
	var names []string
	for _, dialect := range []struct {
		name string
		set  bool
	}{
		{"exact", len(d.Exact) > 0}, {"prefix", len(d.Prefix) > 0}, {"suffix", len(d.Suffix) > 0},
		{"all", len(d.All) > 0}, {"any", len(d.Any) > 0}, {"not", d.Not != nil}, {"cesql", d.CESQL != ""},
	} {
		if dialect.set {
			names = append(names, dialect.name)
		}
	}
	return names
}
