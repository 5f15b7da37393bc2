// Package apiserver gives tests a real Kubernetes API server: its own process and store, on loopback, for one test.
//
// In: the binary ebb-kube, built to bin/ebb-kube or named by EBB_KUBE. Out: a running cluster without nodes, clients for it, and the
// kinds, ConfigMaps and webhooks of this repository installed in it.
//
// Hard rule: what a test starts, it ends. Without the binary the test is skipped and says how to build it.
package apiserver
