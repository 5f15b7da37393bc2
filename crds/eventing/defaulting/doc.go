// Package defaulting fills in what users leave out of the kinds of eventing, messaging, flows, sources and sinks.
//
// In: the object as written, the one it replaces if any, the ConfigMaps of namespace knative-eventing, and who asks.
// Out: the same object, complete, as Knative would have stored it.
//
// Hard rule: defaulting is pure and settles: doing it again changes nothing. What was decided when an object was new stays.
package defaulting
