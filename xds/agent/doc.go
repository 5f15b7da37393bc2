// Package agent stands beside an Envoy: it makes keys, has them signed, and serves them to that Envoy over SDS.
//
// In: a service account token and the roots to begin with (files); what Envoy asks for by name. Out: the secrets "self"
// (the process's own SVID), "trust" (the roots) and "svid|namespace/serviceaccount" (a workload's, on its node), each
// renewed at half of its life; and a connection to the control plane that proves who we are.
//
// Hard rule: a private key is made here and goes to the Envoy of this machine over a unix socket, nowhere else.
package agent
