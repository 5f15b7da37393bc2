// Package host runs Envoys and the agent beside them in one process.
//
// In: options, who this is, which Envoys. Out: an agent with its secrets, and the Envoys that it starts and stops; a stream of what is known
// of pods first.
//
// Hard rule: the agent outlives its Envoys. Nothing here knows Kubernetes: a sidecar's program is no larger than this.
package host
