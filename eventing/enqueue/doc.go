// Package enqueue is which objects a controller looks at again because something else has changed, or they have while it looked.
//
// In: a kind, as an empty list of it, and what is asked of its objects; or a conflict. Out: requests to reconcile them.
//
// Hard rule: it reads from a cache, and what cannot be read is not enqueued: the change comes again, or a later look finds it.
package enqueue
