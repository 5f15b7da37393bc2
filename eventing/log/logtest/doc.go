// Package logtest is what every event log has to keep, as tests.
//
// In: a way to open a log, and to open it again with what it had. Out: failures.
//
// Hard rule: only the interface is used, and nothing is expected that its documentation does not promise.
package logtest
