// Package cluster says which Kafka is meant and how to connect to it.
//
// In: bootstrap servers, and the data of a Secret with the keys that Knative's Kafka parts know. Out: the options of a client, the cluster's
// identity, and what went wrong in words that name the key and the remedy.
//
// Hard rule: a secret's values are in no error, no log and no identity.
package cluster
