// Package kubernetes holds the manifests that run Ebb on any cluster: plain YAML, put together by kustomize.
//
// In: an image, named by the user's own kustomization. Out: namespaces, accounts, rights, the control plane, gateways; under node/ a
// proxy on every node in place of one beside every replica. Rights are the accounts and rights among them, which a laptop's processes have too.
//
// Hard rule: no right is granted that is not used, and no process has the power over the node that an app has not: a test applies all
// of it to a real API server, strictly, and another runs it.
package kubernetes
