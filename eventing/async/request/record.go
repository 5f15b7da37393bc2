package request

import (
	"time"

	"ebb.dev/ebb/eventing/model"
)

// State is where a request is.
type State string

// The states.
const (
	Queued    State = "queued"
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
	Dead      State = "dead"
)

// Final reports whether nothing more happens by itself.
func (s State) Final() bool { return s != Queued && s != Running }

// Record is a request and what has become of it, without its headers and bodies.
type Record struct {
	ID string `json:"id"`
	// Version grows with every step: of two records the later is the greater.
	Version uint64    `json:"v"`
	Service model.Key `json:"service"`
	Method  string    `json:"method"`
	// Target is the path and query, as they came.
	Target string `json:"target"`
	// Key is the client's Idempotency-Key, empty without; Print tells requests apart that have the same key.
	Key   string `json:"key,omitempty"`
	Print string `json:"print,omitempty"`
	Terms Terms  `json:"terms"`

	State State `json:"state"`
	// Attempts counts those that have begun.
	Attempts int       `json:"attempts"`
	Accepted time.Time `json:"accepted"`
	// Due is when the next attempt begins, at the earliest; Began is when the last one did.
	Due   time.Time `json:"due"`
	Began time.Time `json:"began,omitzero"`
	// Ended is when the state became final, Expires when all of it is forgotten.
	Ended   time.Time `json:"ended,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	// Status is that of the last answer, 0 for none; Error says why there is none, or why it is not kept.
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
	// Kept says that the answer's headers and body are stored.
	Kept bool `json:"kept,omitempty"`
	// Notices are who is to be told of the end.
	Notices []Notice `json:"notices,omitempty"`
}

// Terms are what was agreed when the request was accepted.
type Terms struct {
	// Retry is how many attempts follow the first one, Backoff the delay before the second; it doubles with each.
	Retry   int           `json:"retry"`
	Backoff time.Duration `json:"backoff"`
	// Timeout bounds one attempt.
	Timeout time.Duration `json:"timeout"`
	// TTL is for how long the end can be asked for.
	TTL time.Duration `json:"ttl"`
	// Bytes bounds the answer's body.
	Bytes int64 `json:"bytes"`
}

// Kind is what a notice is for.
type Kind string

// The kinds of notices: the client's callback, and the Service's place for requests whose attempts are used up.
const (
	Callback   Kind = "callback"
	DeadLetter Kind = "dead-letter"
)

// NoticeState is where a notice is.
type NoticeState string

// The states of notices.
const (
	Pending   NoticeState = "pending"
	Delivered NoticeState = "delivered"
	GivenUp   NoticeState = "given-up"
)

// Notice tells a URL of the end.
type Notice struct {
	Kind     Kind        `json:"kind"`
	URL      string      `json:"url"`
	State    NoticeState `json:"state"`
	Attempts int         `json:"attempts,omitempty"`
	Due      time.Time   `json:"due,omitzero"`
	Error    string      `json:"error,omitempty"`
}

// Wanted reports whether the notice is for a request that ended so.
func (n Notice) Wanted(end State) bool {
	if n.Kind == DeadLetter {
		return end == Dead
	}
	return end.Final()
}
