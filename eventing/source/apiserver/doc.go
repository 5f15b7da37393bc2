// Package apiserver is what an ApiServerSource means.
//
// In: ApiServerSources, changes of the objects they name, as the API server tells them, and what their sinks resolve to. Out: events in a
// stream of the log for each source, a reader of that stream that delivers them to the sink, and statuses.
//
// Hard rule: a change is stored before the next one of its watch is looked at. What is stored is the dispatcher's to deliver, across retries
// and restarts; what changes while no broker runs is not told.
//
// The sources of all namespaces share watches: one for each resource, namespace and selector. Watching is done with the broker's own rights,
// and only as long as the API server says that the source's ServiceAccount may do it too.
package apiserver
