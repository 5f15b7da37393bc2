// Package sandbox starts processes the way a container runtime does, without one.
//
// In: a Spec (root file system, command, mounts, limits). Out: a Process, started in well under a millisecond of work, and its exit.
//
// A pool of threads does the starting. Each holds a mount namespace of its own, enters the pod's network namespace, makes the container's
// mounts and forks; nothing is executed in between, so that the program is the first and only thing that runs. Network namespaces are
// made ahead of time and reused.
//
// Hard rule: nothing outlives its owner. Every mount lives in a namespace that only the container's processes hold, every network namespace
// is known by an open file alone, every process dies with the thread that forked it. What the kernel does not clean up after a
// crash by itself (a bridge, control groups, directories) the next Open removes.
package sandbox
