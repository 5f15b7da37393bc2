// Package naming is how children are named after what they belong to, as Knative does it.
//
// In: the name of a parent and a suffix. Out: a name that is a DNS label.
//
// Hard rule: a name once given stays: other programs look children up by it.
package naming
