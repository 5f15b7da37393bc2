// Package eventing names what the kinds of eventing.knative.dev and its neighbours share: namespace, labels, annotations, classes.
//
// In: nothing. Out: names. Hard rule: they are Knative's, and those of Ebb's own start with ebb.dev.
package eventing
