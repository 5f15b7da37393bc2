// Package async says how requests are asked to be answered later: annotations of a Service, headers of a request, paths of what became of it.
//
// In: annotations and labels that people write, the Prefer header. Out: names that the rooms agree on, a Policy with every default filled in,
// errors for whoever wrote the annotations.
//
// Hard rule: nothing here does I/O or reads a clock, and resolving never fails: what validation would refuse is treated as not written.
//
// The mode's annotation and its values are those of Knative's async component, as is Prefer: respond-sync; the rest is Ebb's own.
package async
