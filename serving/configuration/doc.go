// Package configuration stamps Revisions out of a Configuration's template, one for each generation, and follows how they fare.
//
// In: the Configuration, its Revisions, and the Routes that refer to it. Out: at most one new Revision, and the status.
//
// Hard rule: a Revision is made at once and made complete: what is known of its routes is on it from the beginning. A name that belongs
// to something else is told and never taken.
package configuration
