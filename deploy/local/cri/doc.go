// Package cri is the container runtime of the kubelet node: a private containerd.
//
// In: where things are (Config). Out: the files containerd is started with, a sandbox image in its store, and, before it is stopped, pods
// that have ended.
//
// Hard rule: everything containerd writes is below the state folder, and nothing of a containerd that may run on the machine is used.
package cri
