// Package settings holds the ConfigMaps of namespace knative-serving as they were last accepted.
//
// In: the ConfigMaps, watched. Out: a config.Set, and a word to whoever asked when one of them has changed.
//
// Hard rule: a bad value never replaces a good one. It is told in the log and as an event of the ConfigMap, and what was in force stays so.
package settings
