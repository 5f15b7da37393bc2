// Package record turns CloudEvents into records of Kafka and back, as the Kafka protocol binding of CloudEvents 1.0 says.
//
// In: events, records. Out: records whose headers ce_* and content-type are the attributes (binary mode) or whose value is the event as JSON
// (structured mode); events, or ErrPlain for records that are none.
//
// Hard rule: what was written in binary mode comes back as it was, types of extensions included; everybody else reads it as plain CloudEvents.
package record
