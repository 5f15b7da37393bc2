// Package platform is `ebb up`: it brings a whole local platform up, shows how it is, and takes it down.
//
// In: options and the list of Ebb's own processes (Component). Out: Kubernetes, a node, and those processes, supervised, in one state
// folder; or one sentence that says why not and what to do.
//
// Hard rule: whatever Up makes on the machine (processes, mounts, devices, rules, cgroups, sysctls), Down unmakes, however Up ended. Up
// itself begins by undoing what an earlier one left.
package platform
