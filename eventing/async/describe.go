package async

import (
	"time"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/request"
)

// Status is what is told of a request, as JSON.
type Status struct {
	ID      string        `json:"id"`
	State   request.State `json:"state"`
	Service string        `json:"service"`
	Method  string        `json:"method"`
	Path    string        `json:"path"`
	// Attempts counts those that have begun.
	Attempts int       `json:"attempts"`
	Accepted time.Time `json:"accepted"`
	// Due is when the next attempt begins, while it waits.
	Due     time.Time `json:"due,omitzero"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	// Status is that of the last answer.
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
	// URL is the path of this status, Result that of the answer, if it is kept.
	URL     string   `json:"url"`
	Result  string   `json:"result,omitempty"`
	Notices []Notice `json:"notices,omitempty"`
}

// Notice is what is told of a notice.
type Notice struct {
	Kind     request.Kind        `json:"kind"`
	URL      string              `json:"url"`
	State    request.NoticeState `json:"state"`
	Attempts int                 `json:"attempts"`
	Error    string              `json:"error,omitempty"`
}

// Describe says what is known of a request.
func Describe(r request.Record) Status {
	s := Status{
		ID: r.ID, State: r.State, Service: r.Service.String(), Method: r.Method, Path: r.Target, Attempts: r.Attempts, Accepted: r.Accepted,
		Began: r.Began, Ended: r.Ended, Expires: r.Expires, Status: r.Status, Error: r.Error, URL: async.Path + r.ID,
	}
	if r.State == request.Queued {
		s.Due = r.Due
	}
	if r.Kept {
		s.Result = s.URL + resultSuffix
	}
	for _, n := range r.Notices {
		if n.State != "" {
			s.Notices = append(s.Notices, Notice{n.Kind, n.URL, n.State, n.Attempts, n.Error})
		}
	}
	return s
}
