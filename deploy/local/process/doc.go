// Package process runs the child processes of `ebb up`.
//
// In: specifications (Spec: command line, log file, readiness) started in order. Out: processes whose output is in files, that are started
// again when they crash, later each time, and that end when asked to, in the reverse order.
//
// Hard rule: a child does not outlive its supervisor. Each is started from one thread that lives as long as the supervisor, with the
// kernel's order to kill it when that thread dies; each is recorded before anything waits for it, for the case that this fails.
package process
