// Package route turns a Route into a KIngress and placeholder Services, and says where its requests go.
//
// In: the Route, the Configurations and Revisions that it sends traffic to, its KIngress and Services, the ConfigMaps, the time.
// Out: the KIngress, one Service for each host inside the cluster, and the status.
//
// Hard rule: while a target is missing or not ready, what serves goes on serving: nothing is taken from a KIngress that cannot be
// replaced as a whole.
package route
