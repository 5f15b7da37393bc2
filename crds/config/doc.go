// Package config reads the ConfigMaps of namespaces knative-serving and knative-eventing.
//
// In: a ConfigMap's data. Out: a struct with every default filled in, warnings for keys that have no effect, and one error that names
// the ConfigMap, the key and the remedy for each value that is wrong.
//
// Hard rule: parsing is pure, and a bad value gives no struct at all: whoever holds the last good one keeps it.
//
// Keys and defaults are Knative's. Where Ebb has a key of its own its name starts with "ebb-".
package config
