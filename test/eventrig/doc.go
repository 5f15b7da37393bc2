// Package eventrig is an API server with our kinds, and a plane that keeps events in memory, for tests of what makes events.
//
// In: the reconcilers of a test. Out: they run against a real API server; what they handed over, and the events that were stored.
//
// Hard rule: what it starts ends with the test.
package eventrig
