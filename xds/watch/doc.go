// Package watch fills the store from the Kubernetes API.
//
// In: informers of KIngresses, Revisions, Pods, Nodes, Services and EndpointSlices, and what node agents report of pods
// before the API server hears of it. Out: writes to the store, made by xds/build.
//
// Hard rule: it only reads the API. Every event is handled on its own and may come again; what an object needs of another
// that is not there yet is made up for when that one comes.
package watch
