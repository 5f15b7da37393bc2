// Package hold keeps requests for what is cold until they can be answered: the ext_authz server.
//
// In: checks from gateways (one per request that no active virtual host passes), which clusters became usable at which
// gateway, how many slots the replicas have free, which revisions have failed for good. Out: the answer of each check -
// go on (and to which cluster), not found, or not available and why - and the demand of every revision.
//
// Hard rule: a request is let go only where it can be answered: its gateway has accepted a ready endpoint, and a slot is
// free. Oldest first. A request that left counts for nothing.
package hold
