// Package light is a small stand-in for a kubelet: it registers a Node, binds pending pods itself and runs them as processes of its own, in milliseconds.
//
// In: pods from the API server, images from the local store. Out: running programs, pod statuses and events as a kubelet writes them, and the
// kubelet's API (logs, exec, attach, port-forward).
//
//	watch ─ manager ─ pod ─ container ─ sandbox
//	                   └─ status, events ─ API server
//
// Hard rule: nothing is adopted. What ran when the node ended is ended by the kernel or by the next start, and started again. The feature list stays
// small; LeavesOut says what is not there, and the node prints it.
package light
