// Package destination finds out where a destination is.
//
// In: a ref, a URI or both, as users write them. Out: an absolute URL, with what vouches for it, or why there is none.
//
// Hard rule: it only reads. A destination that cannot be resolved is an error whose text a user can act on, never a guess.
package destination
