// Package requestreply is what a RequestReply means: an HTTP request whose event goes into a Broker, and whose answer is the event that comes
// back out of it.
//
// In: RequestReplies and their Brokers; requests with one event each, by the path /NAMESPACE/NAME of their host. Out: events with a signed
// correlation id in the Broker; 200 with the event that carries the id back, or why there is none; statuses.
//
//	client ── Handler ── [ id, signed ] ── ingress ── log ── Triggers ── subscriber ── reply ── log
//	   ^──────── 200 ──────── Waiting ── reads the Broker's stream while somebody waits ─────────┘
//
// Hard rule: a request waits before its event is stored, and reads on from there, so that no reply is too fast for it; what waits has a
// bound, and nothing of it outlives the process or the client.
//
// An event that the Broker has already, by its source and id, is not stored again. The request then takes over the id that the event was given
// the first time and looks for the reply from there on: who sends again after an error gets the answer that has come meanwhile.
package requestreply
