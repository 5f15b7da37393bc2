// Package readyourwrites is a client over a cache that never shows its user a state older than what that user wrote.
//
// In: reads and writes of reconcilers. Out: the cache's answer, or, while the cache has yet to show a write, what was written.
//
// Hard rule: what is remembered only bridges the way of a write through the API server's watch. As soon as the cache shows the
// write, or anything else that is not older, the cache is right; and after Patience it is right whatever it shows.
//
// Without it a reconciler that runs again within that millisecond creates its children twice and writes its status twice, and the
// second of each costs the API server as much as the first.
package readyourwrites
