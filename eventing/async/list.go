package async

import (
	"slices"

	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/model"
)

// Want says which requests to list; empty fields are any.
type Want struct {
	Namespace, Service string
	State              request.State
	// Most is how many, the latest accepted; 0 is all.
	Most int
}

func (w Want) fits(r request.Record) bool {
	return (w.Namespace == "" || r.Service.Namespace == w.Namespace) && (w.Service == "" || r.Service.Name == w.Service) && (w.State == "" || r.State == w.State)
}

// List returns requests, the latest accepted first.
func (e *Engine) List(w Want) []request.Record {
	e.mu.Lock()
	var out []request.Record
	for _, en := range e.entries {
		if w.fits(en.record) {
			out = append(out, en.record)
		}
	}
	e.mu.Unlock()
	slices.SortFunc(out, func(a, b request.Record) int {
		if c := b.Accepted.Compare(a.Accepted); c != 0 {
			return c
		}
		return slices.Compare([]byte(a.ID), []byte(b.ID))
	})
	if w.Most > 0 && len(out) > w.Most {
		out = out[:w.Most]
	}
	return out
}

// Backlogs is what waits for Services that have as many calls under way as they may; url is how a Service is called. Calls that wait for their
// time, or for another attempt, are not among it.
func (e *Engine) Backlogs(url func(model.Key) string) []model.Backlog {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []model.Backlog
	now := e.options.Now()
	for key, s := range e.services {
		if n := s.lane.overdue(now); n > 0 {
			out = append(out, model.Backlog{URL: url(key), Waiting: n, AtOnce: s.lane.window.size()})
		}
	}
	return out
}
