// Package graph draws who sends to whom: senders, Brokers and Channels, Triggers and Subscriptions, subscribers.
//
// In: which source sent to which stream, as it happens; streams and what their readers have counted. Out: nodes, and edges with how much went
// along them and when last, since the process began.
//
// Hard rule: the memory for senders is bounded, however many sources there are: those past the bound are one node together.
package graph
