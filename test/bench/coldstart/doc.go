// Package coldstart measures a request to a service at zero, by phase, against the same pod started without Ebb.
//
// In: a testbed. Out: a section with both, in turns, over several numbers of services at zero, and what these cost at rest.
//
// Ebb's figure is what a client sees: from the first byte of its request to the last of the answer. The bare figure is from
// the scale patch of a plain Deployment with the same pod template until the pod's port accepts, which the app itself
// says at once. What Ebb adds is the difference of both at the same quantile.
//
// Hard rule: services and Deployments are woken in turns, each when nothing else goes on, and the one that begins changes.
package coldstart
