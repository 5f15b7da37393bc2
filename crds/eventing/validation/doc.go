// Package validation says what is wrong with the kinds of eventing, messaging, flows, sources and sinks.
//
// In: the object with its defaults, the one it replaces if any, and the ConfigMaps of namespace knative-eventing as last accepted.
// Out: one error per wrong field, with its path, the value and the remedy; and warnings for what is accepted but likely not meant.
//
// Hard rule: what Knative refuses is refused, by the field's name. What it accepts and can run is accepted.
package validation
