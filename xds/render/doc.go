// Package render shows what Envoys would get for some API objects, without a cluster.
//
// In: YAML documents: Ingresses, Revisions, Nodes, Pods, Services, EndpointSlices. Out: the resources of the gateways and
// of each replica proxy, as YAML in Envoy's own words.
//
// Hard rule: it goes the way the control plane goes (build, store, plan's decisions, envoy), so that what it shows is what
// is sent. A revision is warm when a pod of the input is ready.
package render
