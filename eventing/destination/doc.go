// Package destination finds out where a destination is, and states it.
//
// In: a ref, a URI or both, as users write them. Out: an absolute URL, with what vouches for it, or why there is none, in the words that
// statuses have for it.
//
// Hard rule: of the API it only reads. A destination that cannot be resolved is an error whose text a user can act on, never a guess.
package destination
