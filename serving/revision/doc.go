// Package revision makes a Revision run: its Deployment, its PodAutoscaler and its Service, and says how it fares.
//
// In: the Revision, its children, the pods that do not come up, the digests of its images, the ConfigMaps. Out: children and status.
//
// Hard rule: a request that wakes a revision waits for nothing here. While it does nothing is written; what changed is told afterwards.
//
// Conditions, reasons and messages are Knative's. A reason to fail that a container runtime gives is told at once and in its own words,
// where Knative waits for the Deployment's deadline; it goes away with its cause.
package revision
