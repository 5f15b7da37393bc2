// Package cache holds what each proxy should have, sends the difference, and remembers what was accepted: the ACK ledger.
//
// In: rows put and deleted per proxy and resource type (by xds/plan). Out: delta xDS responses through go-control-plane's
// server, and for every row the versions that were sent, accepted or refused, with a signal on each change.
//
// Hard rule: a row's version is the hash of its bytes, so that a proxy which kept a row across a restart of ours is not
// sent it again; and a change costs what changed, never what exists.
//
// A response that a proxy refuses is sent again row by row, until the one it cannot accept stands alone and is named;
// the proxy keeps its last good version of that row, and everything else goes on.
package cache
