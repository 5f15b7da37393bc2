// Package mesh gives tests identities without a cluster: a CA that is kept in memory, tokens that are believed, and agents that prove themselves.
//
// In: the test, and the control plane that it runs. Out: what that control plane needs to know who calls, and callers.
//
// Hard rule: an agent ends with its test.
package mesh
