// Package target is the Kubernetes side of scaling: which revisions there are to scale, how many replicas their
// Deployments ask for, and the patches that change it.
//
// In: informers of PodAutoscalers and Deployments; the engine's decisions. Out: scale patches, deletion costs, statuses.
//
// Hard rule: on the way of a waking request there is one write, the scale patch, and nothing is read from the API.
package target
