// Package mount takes away the mounts below a folder: what containers, volumes and network namespaces left there.
//
// In: a folder. Out: nothing is mounted at or below it any more.
//
// Hard rule: only mounts at or below the folder are touched, the innermost first.
package mount
