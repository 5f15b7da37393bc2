// Package gc deletes Revisions that nobody refers to any more, by the rules of config-gc.
//
// In: a Configuration, its Revisions, the rules, the time. Out: the names of those to delete, and when to look again.
//
// Hard rule: what is routed to, what is the latest, what users want kept, and what nothing is known of yet, stays.
package gc
