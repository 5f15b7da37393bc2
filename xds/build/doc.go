// Package build turns API objects into the model.
//
// In: KIngresses, Revisions, Pods, Nodes, Services with their EndpointSlices. Out: virtual hosts, revisions, replicas and
// plain services of xds/model and xds/store.
//
// Hard rule: pure functions; what they need beside the object is an argument. The same objects give the same names.
package build
