package destination

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/eventing/model"
)

// Found is what a destination resolved to, or why it did not. The zero value is a destination that is not given.
type Found struct {
	Resolved
	Err error
}

// Given reports whether a destination names anything.
func Given(d *duck.Destination) bool { return d != nil && (d.Ref != nil || d.URI != nil) }

// Find resolves a destination that may be left out, for an object of a namespace.
func (r *Resolver) Find(ctx context.Context, d *duck.Destination, namespace string) Found {
	if !Given(d) {
		return Found{}
	}
	return r.Require(ctx, *d, namespace)
}

// Require resolves a destination that must be there: one that names nothing is an error too.
func (r *Resolver) Require(ctx context.Context, d duck.Destination, namespace string) Found {
	resolved, err := r.Resolve(ctx, d, namespace)
	return Found{Resolved: resolved, Err: err}
}

// DeadLetters resolves the sink of a delivery that may be nil.
func (r *Resolver) DeadLetters(ctx context.Context, d *duck.DeliverySpec, namespace string) Found {
	if d == nil {
		return Found{}
	}
	return r.Find(ctx, d.DeadLetterSink, namespace)
}

// Destination is where it is as readers know it; without a URL there is none.
func (r Resolved) Destination() model.Destination {
	return model.Destination{URL: r.URL, CACerts: ptr.Deref(r.CACerts, ""), Audience: ptr.Deref(r.Audience, "")}
}

// Explain says why there is no URL, with the reason of a condition. what is the destination's part in the object, such as "subscriber".
func (f Found) Explain(what string) (reason, message string) {
	var unresolved *Unresolved
	if errors.As(f.Err, &unresolved) {
		return unresolved.Reason, fmt.Sprintf("%s: %s", what, unresolved.Message)
	}
	return "ResolveFailed", fmt.Sprintf("%s: %v", what, f.Err)
}

// StateDeadLetters states in a condition and a status what a dead letter sink resolved to.
func (f Found) StateDeadLetters(marks conditions.Manager, condition conditions.Type, to *duck.DeliveryStatus) {
	*to = duck.DeliveryStatus{}
	switch {
	case f.Err != nil:
		reason, message := f.Explain("dead letter sink")
		marks.MarkFalse(condition, reason, message)
	case f.URL == "":
		marks.MarkTrueWithReason(condition, eventing.ReasonDeadLetterSinkNotConfigured, eventing.MessageDeadLetterSinkNotConfigured)
	default:
		to.DeadLetterSinkURI, to.DeadLetterSinkCACerts, to.DeadLetterSinkAudience = &f.URL, f.CACerts, f.Audience
		marks.MarkTrue(condition)
	}
}
