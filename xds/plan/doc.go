// Package plan decides what each proxy is told next, so that no request is lost on the way from one state to another.
//
// In: the store's changes, the cache's ledger (what each proxy has accepted), and whether requests wait at the hold.
// Out: rows put and deleted in the cache; the clusters that became usable at a gateway; replicas that became reachable.
//
// Hard rule: order comes from ACKs. A virtual host passes requests to a cluster only while that gateway has accepted the
// cluster with a ready endpoint in it; a cluster goes only when nothing that gateway has accepted points at it any more.
// Every step is level-based: it looks at what is and does what is missing, and may be repeated at any time.
package plan
