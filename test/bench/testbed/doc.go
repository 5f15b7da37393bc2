// Package testbed drives one platform of `ebb up` as its users do: as a process, through its API and its gateway.
//
// In: the binaries, a state folder, a port and a kind of node. Out: clients, the gateway's address, the processes.
//
// Hard rule: what it starts, it stops; it touches no other platform.
package testbed
