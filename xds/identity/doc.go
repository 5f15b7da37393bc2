// Package identity issues the SPIFFE identities of workloads, gateways, nodes and control planes, and says who a peer is.
//
// In: CSRs with an audience-bound service account token or a certificate of ours; where pods are bound. Out: X.509 SVIDs
// of a day, the roots to believe, and for each connection the identity its certificate proves.
//
// Hard rule: a private key never leaves the process that made it, but for the CA's own. Who a certificate is for is
// decided from the caller's proof, never from what its CSR asks for; a node gets a workload's identity only while a pod
// of that workload is bound to it.
package identity
