// Package settings reads which Kafka a Broker, a channel, a source or a sink means from the ConfigMaps and Secrets that they name.
//
// In: names of ConfigMaps and Secrets, the API. Out: a cluster and what its topics are to be like, or what is wrong in words for a condition: the
// object, the key and the remedy.
//
// Hard rule: a Secret's values are in no error.
package settings
