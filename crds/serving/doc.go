// Package serving names the labels and annotations of the serving.knative.dev group.
//
// In: nothing. Out: keys, and a look-up for annotations that have more than one spelling.
//
// Hard rule: the names are Knative's, byte for byte. Tools, dashboards and suites select by them.
package serving
