// Package duck holds the shapes that kinds of several groups share: where events go, how hard one tries, what a source or a channel is.
//
// In: nothing. Out: Go types that are Knative's on the wire, to be embedded in kinds.
//
// Hard rule: a field's name, place and meaning are Knative's; what is Ebb's own says so.
//
// +kubebuilder:object:generate=true
package duck
