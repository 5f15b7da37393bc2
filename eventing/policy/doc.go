// Package policy says who may send which events where.
//
// In: EventPolicies, the features authentication-oidc and default-authorization-mode, and requests with events. Out: a decision for each
// request, statuses of EventPolicies, and what a Broker, channel or sink says about those that apply to it.
//
// Hard rule: with authentication-oidc on, nothing passes whose sender the API server has not named for exactly this receiver; with it off,
// nothing is asked and nothing waits. Decisions (decide.go) do no I/O.
package policy
