package async

import (
	"slices"

	"ebb.dev/ebb/eventing/async/request"
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
