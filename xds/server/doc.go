// Package server is the port that Envoys and agents connect to: delta ADS, HDS, metrics, the hold, identities and node
// reports, on one mTLS listener.
//
// In: gRPC streams. Out: the cache's rows, health specifiers, samples for the autoscaler, certificates.
//
// Hard rule: every call is authorised by the certificate it comes with, and a proxy's scope comes from that certificate;
// the Identity service's Sign is the only call that may come without one. Unary Fetch is not served.
package server
