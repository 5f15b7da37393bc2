// Package defaulting fills in what users leave out of Services, Configurations, Revisions and Routes.
//
// In: the object as written, the one it replaces if any, config-defaults and config-features, and who asks.
// Out: the same object, complete, as Knative would have stored it.
//
// Hard rule: defaulting is pure and settles: doing it again changes nothing.
package defaulting
