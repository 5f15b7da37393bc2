// Package conditions is the status that every Knative resource shares, and the rule by which its Ready follows from its other conditions.
//
// In: a Status, the Set of condition types that decide the kind's Ready, and marks (true, false, unknown).
// Out: the same Status with its conditions sorted by type and the happy condition recomputed.
//
// Hard rule: nothing here reads a clock. Whoever marks a condition passes the time, and an unchanged condition keeps its old one.
//
// +kubebuilder:object:generate=true
package conditions
