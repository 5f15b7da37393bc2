// Package broker puts the event rooms together in one process: controllers, ingress, log and dispatcher.
//
// In: the API server, a folder for the log, where to listen and which gateway leads to subscribers. Out: events, taken and
// delivered, and what waits, told to the autoscaler.
//
// Hard rule: nothing here decides; a process that ends at any moment has lost nothing that it answered 202 to.
package broker
