package attribute

import "slices"

// Condition is what must hold for a filter to pass: the event has the attribute, and its text is one of Values.
type Condition struct {
	Name   string
	Values []string
}

// Either are the conditions that hold if all of a do, or all of b: those on attributes that both speak of.
func Either(a, b []Condition) []Condition {
	var out []Condition
	for _, x := range a {
		for _, y := range b {
			if x.Name == y.Name {
				out = append(out, Condition{Name: x.Name, Values: unique(slices.Concat(x.Values, y.Values))})
				break
			}
		}
	}
	return out
}

func unique(values []string) []string {
	slices.Sort(values)
	return slices.Compact(values)
}
