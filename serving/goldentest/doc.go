// Package goldentest runs the decisions of this room against YAML.
//
// Each folder of a package's testdata holds what there is (in.yaml: objects as they are stored, ConfigMaps of knative-serving, and one
// document of kind Given for the rest) and what is decided (out.yaml). Its README says in a line what it proves. go test -update
// rewrites out.yaml; a reviewer reads the difference.
//
// What users write has its defaults filled in, as admission would. Everything happens at Now unless Given says otherwise.
//
// Hard rule: only tests import this package.
package goldentest
