// Package memory measures what a platform costs when nothing happens: resident memory of each process, and processor time.
//
// In: a testbed. Out: a section: idle, with services at zero, and the same Kubernetes without Ebb.
//
// Memory is proportional set size: pages that processes share count once. Processor time is of all the platform's
// processes; beside it stands that of the same Kubernetes, on the same kind of node, started without Ebb's processes.
//
// Hard rule: nothing is asked of a platform while it idles.
package memory
