// Package attribute reads the context attributes of an event as filters see them: by name, each with one canonical text.
//
// In: an event. Out: values that are strings, integers or booleans; times, URIs and bytes are their canonical strings, a time in the zone
// it was sent with.
//
// Hard rule: the event's data is not an attribute and is never read.
package attribute
