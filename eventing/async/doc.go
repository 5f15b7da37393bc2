// Package async takes requests that are answered later: it stores them, calls their Services when there is time, and keeps the answers.
//
// In: requests that the gateways lead here (Prefer: respond-async, or the Service's mode), questions about them by id, a Policy for each
// Service. Out: 202 with an id, attempts through the gateway, answers for as long as was agreed, notices to those who want to know.
//
//	client ── gateway ── Handler ── Engine.Accept ── journal (stored, then 202)
//	                                   │ due, and a place is free
//	                                   v
//	                                lane ── attempt ── gateway [ held while at zero ] ── app ── Answered ── journal ── notices
//
// Hard rule: what was answered 202 is called until it has ended, whatever is restarted in between: at least once, and an attempt that was
// under way is made again.
package async
