// Package kube starts the Kubernetes of `ebb up`: what ebb-kube is told, which certificates it needs, and how one knows that it serves.
//
// In: the instance's choices (Settings). Out: a configuration file and certificates, waits for readiness, and the objects a new cluster
// begins with (namespaces, accounts, roles).
//
// Hard rule: nobody is anonymous. Every process has a certificate of its own, with the rights that its work needs.
package kube
