// Package networking names the labels, annotations, ingress classes and ports of the networking groups, and validates the annotations.
//
// In: the annotations of an object. Out: the value that counts where a key has more than one spelling, and errors for unknown keys.
//
// Hard rule: names and ports are Knative's, byte for byte.
package networking
