// Package podspec says which fields of a pod a revision may set.
//
// In: a PodSpec and the features that are on. Out: one error for each field that is set and may not be, by its path.
//
// Hard rule: the table in fields.yaml is the only place that names fields. A field that Kubernetes adds tomorrow is refused until it is
// listed there, and the CRDs' schemas are generated from the same table.
package podspec
