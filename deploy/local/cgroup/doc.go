// Package cgroup keeps one subtree of control groups for an `ebb up`, in whatever the machine has: version 2, version 1, or both.
//
// In: the subtree's name. Out: the subtree exists in every hierarchy, processes can be put into it, and at the end everything in it is
// killed and it is gone.
//
// Hard rule: nothing outside the subtree is written, with one exception: on version 2 the controllers a subtree needs are enabled in its
// parents, as the kernel demands, and stay so.
package cgroup
