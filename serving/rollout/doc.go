// Package rollout moves traffic to a new latest Revision over a time: one percent first, then in equal steps.
//
// In: the state that a KIngress carries as an annotation, the traffic that is wanted, when the KIngress became ready, the time.
// Out: the traffic for now, and when the next step is due.
//
// Hard rule: nothing here reads a clock. The state is all in the annotation, in Knative's form, so that another control plane, or
// Knative itself, goes on where this one stopped.
package rollout
