package gc

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/naming"
)

// Decision is what to delete.
type Decision struct {
	// Delete are Revisions, the longest unused first.
	Delete []*servingv1.Revision
	// Next is when more of them will be old enough, the zero time if that depends on changes alone.
	Next time.Time
}

// Decide returns which of a Configuration's revisions are to go.
func Decide(c *servingv1.Configuration, revisions []servingv1.Revision, rules *config.GC, now time.Time) Decision {
	var d Decision
	byAge := rules.RetainSinceCreateTime != config.NoLimit || rules.RetainSinceLastActiveTime != config.NoLimit
	if !byAge && rules.MaxNonActiveRevisions == config.NoLimit {
		return d
	}
	idle := idle(c, revisions)
	spare := len(idle) - int(rules.MinNonActiveRevisions)
	var kept []*servingv1.Revision
	for _, r := range idle {
		switch due := expires(r, rules); {
		case len(d.Delete) >= spare || !byAge:
			kept = append(kept, r)
		case !due.After(now):
			d.Delete = append(d.Delete, r)
		default:
			kept = append(kept, r)
			if d.Next.IsZero() || due.Before(d.Next) {
				d.Next = due
			}
		}
	}
	if most := int(rules.MaxNonActiveRevisions); most != config.NoLimit && len(kept) > most {
		d.Delete = append(d.Delete, kept[:len(kept)-most]...)
	}
	return d
}

// idle are the revisions that may go, the longest unused first.
func idle(c *servingv1.Configuration, revisions []servingv1.Revision) []*servingv1.Revision {
	var out []*servingv1.Revision
	for i := range revisions {
		if r := &revisions[i]; !needed(r, c) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *servingv1.Revision) int {
		return cmp.Or(lastActive(a).Compare(lastActive(b)), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func needed(r *servingv1.Revision, c *servingv1.Configuration) bool {
	switch {
	case r.DeletionTimestamp != nil: // it is on its way, and counts for nothing
		return true
	case r.Name == c.Status.LatestReadyRevisionName:
		return true
	case r.Name == naming.Wanted(c): // it would be made again at once
		return true
	case strings.EqualFold(r.Annotations[serving.NoGCAnnotationKey], "true"):
		return true
	}
	return r.RoutingState() != servingv1.RoutingStateReserve
}

// expires is when r will be old enough by all rules about age.
func expires(r *servingv1.Revision, rules *config.GC) time.Time {
	var due time.Time
	if after := rules.RetainSinceCreateTime; after != config.NoLimit {
		due = r.CreationTimestamp.Add(after)
	}
	if after := rules.RetainSinceLastActiveTime; after != config.NoLimit {
		if t := lastActive(r).Add(after); t.After(due) {
			due = t
		}
	}
	return due
}

// lastActive is when a route last referred to r, as far as is known.
func lastActive(r *servingv1.Revision) time.Time {
	if t := r.RoutingStateModified(); !t.IsZero() {
		return t
	}
	// What Knative noted before it knew routing states.
	if seconds, err := strconv.ParseInt(r.Annotations[serving.LastPinnedAnnotationKey], 10, 64); err == nil {
		return time.Unix(seconds, 0)
	}
	return r.CreationTimestamp.Time
}
