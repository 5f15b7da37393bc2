// Package extension names the extensions of events that are Ebb's to read and write.
//
// In: events. Out: what their extensions say.
//
// Hard rule: pure. An extension that cannot be read is one that is not there, for strangers write them too.
package extension
