// Package labeler notes on Revisions and Configurations which Routes refer to them, and when that last changed.
//
// In: a Route, what it refers to, and what was noted for it before. Out: changes of labels and annotations, where there are any.
//
// Hard rule: what is noted already is not noted again. A Revision is made with its notes, so that a new Service costs no write here;
// only moved, pinned or removed traffic does.
//
// There is no finalizer on Routes: what names a Route that is no more is found by its annotation, and cleared.
package labeler
