// Package manifests holds what a cluster needs before the first Service: CustomResourceDefinitions, and the ConfigMaps of
// namespaces knative-serving and knative-eventing with their defaults.
//
// In: YAML that is compiled in; the definitions are generated from the Go types by crds/tools. Out: fresh objects at each call.
//
// Hard rule: the definitions are never edited by hand, and a test compares them with the types field by field.
package manifests
