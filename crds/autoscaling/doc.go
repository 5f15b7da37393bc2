// Package autoscaling says how a revision wants to be scaled: the annotations people write, the ConfigMap operators write,
// and the Policy the two resolve to.
//
// In: annotations of a revision template, the data of ConfigMap config-autoscaler, the revision's containerConcurrency.
// Out: errors and warnings for whoever wrote them, and a Policy with every default filled in.
//
// Hard rule: nothing here does I/O or reads a clock, and resolving never fails: what validation would refuse is treated as
// not written, so that an object that slipped past admission still scales by the defaults.
//
// Keys, ranges and defaults are Knative's.
package autoscaling
