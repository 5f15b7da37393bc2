// Package writes counts what a Service costs the API server.
//
// In: a testbed. Out: a section: writes by Ebb, from its own counter, and by everybody, from the API server's.
//
// Hard rule: Events are counted and shown, and not held against a Service.
package writes
