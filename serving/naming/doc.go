// Package naming is how children are called after their parents.
//
// In: a parent's name and a suffix. Out: the child's name.
//
// Hard rule: a name never changes for the same input, whatever the version: objects are found again by it. The rule is Knative's.
package naming
