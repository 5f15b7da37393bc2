// Package bundle gathers programs into a root file system that runs them: each with the shared libraries it needs, and nothing else.
//
// In: programs of this machine and where they are to lie. Out: a folder that is an image's /.
//
// Hard rule: a program that is gathered starts. A library that cannot be found is an error here, not a crash in a pod.
package bundle
