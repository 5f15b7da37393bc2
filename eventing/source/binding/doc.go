// Package binding is what a SinkBinding means: workloads are told where to send events.
//
// In: SinkBindings, what their sinks resolve to, and the workloads that they name. Out: K_SINK, K_CA_CERTS and K_CE_OVERRIDES in the
// containers of those workloads' pod templates, statuses, and an admission policy of the API server.
//
// Hard rule: of a workload nothing but these variables is touched, and they go with the SinkBinding.
//
// Two ways lead there. The reconciler changes what is there already, and follows a sink that moves. What is made later is told by a
// MutatingAdmissionPolicy as it is made: its parameters are the SinkBindings themselves, so that the API server tells by itself, without asking
// a webhook that might be away; a Job, whose template cannot be changed afterwards, is told in no other way.
package binding
