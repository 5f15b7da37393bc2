// Package index is how reconcilers find objects in the cache without looking at all of them.
//
// In: objects as they enter the cache. Out: the keys they are found under.
//
// Hard rule: a reconciler lists by an index or not at all.
package index
