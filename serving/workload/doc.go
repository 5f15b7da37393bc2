// Package workload is what a revision's replicas run as: a Deployment, the PodAutoscaler that sizes it, and the Service that gathers
// its pods into EndpointSlices.
//
// In: a Revision, the digests of its images, the ConfigMaps, and where the replica's Envoy runs. Out: the three objects.
//
// Hard rule: pure, and stable: the same input makes the same objects, byte for byte, so that a running Deployment is rolled over only
// where something has changed. How many replicas there are is the autoscaler's: it is decided here once, at the beginning.
//
// Names, labels, annotations and what happens to the containers are Knative's, with two differences: probes are the kubelet's, because
// Envoy does its own beside them, and a pod has the time of its longest request plus a margin to end.
package workload
