// Package store is what is known of the world, between the informers that learn it and the planners that act on it.
//
// In: virtual hosts, revisions, replicas and plain services, written by xds/build's callers, by HDS and by the drainers.
// Out: snapshots, look-ups by index, and to every subscriber the keys that a write touched.
//
// Hard rule: what is stored is never changed in place. A write replaces; a reader keeps what it has.
package store
