// Package rootless lets an unprivileged user have a network of their own: `ebb up` runs again inside new user, mount and network
// namespaces, where it is root of what it made and of nothing else.
//
// In: a command to run inside (Enter), listening sockets made outside, and a unix socket (Egress) through which processes inside ask for
// connections to the world. Out: inside there are loopback, bridge and name server as there are for root; outside there are only the API
// server's socket, inherited, and an edge Envoy (Edge) that hands what arrives at the HTTP port to a unix socket inside.
//
// Hard rule: no byte of a connection is copied here. Egress dials and passes the descriptor; the edge is Envoy.
package rootless
