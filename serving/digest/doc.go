// Package digest finds out, beside the reconcilers, what the images of revisions are at the time they are made.
//
// In: a Revision, and a Resolver that knows the local store and the registries. Out: its images by digest, or why they cannot be had.
//
// Hard rule: looking never waits. A look-up that takes its time runs in the background and calls the revision when it is done. One that
// failed is tried again, later and later, and at once when the local store has changed.
package digest
