// Package model says, in plain Go types, what Envoys should know: virtual hosts, clusters, endpoints, replicas.
//
// In: nothing; values are made by xds/build from API objects and by xds/plan from what proxies have acknowledged.
// Out: the types that xds/envoy turns into Envoy's own messages.
//
// Hard rule: a name is the identity of the content, stable for life and never an index. The same revision has the same
// cluster name in the API's events, here, on Envoy's admin page, in metrics and in logs.
package model
