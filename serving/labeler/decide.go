package labeler

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/index"
	"ebb.dev/ebb/serving/naming"
)

// Input is what a decision is made of.
type Input struct {
	// Name is the Route's. Route is nil if there is none of that name any more.
	Name  string
	Route *servingv1.Route
	// Configurations and Revisions are all that the Route refers to or that name it, and the Revisions of those Configurations of
	// which no routing is known yet. There is each once.
	Configurations []servingv1.Configuration
	Revisions      []servingv1.Revision
	Now            time.Time
}

// Decide returns the changes that are due.
func Decide(in Input) apply.Plan {
	var p apply.Plan
	listed := in.listed()
	for i := range in.Revisions {
		r := &in.Revisions[i]
		if to := in.note(r, listed["Revision/"+r.Name]); to != nil {
			to := to.(*servingv1.Revision)
			to.SetRoutingState(stateOf(to), in.Now)
			p.Update = append(p.Update, apply.Update{From: r, To: to, Exclusive: true})
		} else if to := in.state(r, listed["Revision/"+r.Name]); to != nil {
			p.Update = append(p.Update, apply.Update{From: r, To: to, Exclusive: true})
		}
	}
	for i := range in.Configurations {
		c := &in.Configurations[i]
		if to := in.note(c, listed["Configuration/"+c.Name]); to != nil {
			p.Update = append(p.Update, apply.Update{From: c, To: to, Exclusive: true})
		}
	}
	return p
}

// listed are the objects that the Route refers to, by kind and name.
func (in Input) listed() map[string]bool {
	listed := map[string]bool{}
	if in.Route == nil {
		return listed
	}
	for _, traffic := range [][]servingv1.TrafficTarget{in.Route.Status.Traffic, in.Route.Spec.Traffic} {
		for _, t := range traffic {
			in.list(listed, t)
		}
	}
	return listed
}

func (in Input) list(listed map[string]bool, t servingv1.TrafficTarget) {
	configuration := t.ConfigurationName
	for i := range in.Revisions {
		r := &in.Revisions[i]
		if r.Name != t.RevisionName {
			continue
		}
		listed["Revision/"+r.Name] = true
		if owner := metav1.GetControllerOf(r); owner != nil && owner.Kind == "Configuration" {
			configuration = owner.Name
		}
	}
	for i := range in.Configurations {
		c := &in.Configurations[i]
		if c.Name != configuration {
			continue
		}
		listed["Configuration/"+c.Name] = true
		// What is about to become the latest ready one is kept as if it were: it shall not be collected or put to rest before. The
		// status may be a moment behind.
		if ptr.Deref(t.LatestRevision, t.RevisionName == "") {
			listed["Revision/"+c.Status.LatestCreatedRevisionName] = true
			listed["Revision/"+naming.Wanted(c)] = true
		}
	}
}

// settled reports whether the Route is what it is going to be. Before that nothing is taken off.
func (in Input) settled() bool {
	return in.Route == nil || in.Route.IsReady() || in.Route.IsFailed()
}

// note returns o with the Route on its annotation, or taken off; nil if that changes nothing.
func (in Input) note(o client.Object, listed bool) client.Object {
	routes := index.Routes(o)
	noted := slices.Contains(routes, in.Name)
	switch {
	case listed == noted, o.GetDeletionTimestamp() != nil:
		return nil
	case listed:
		routes = append(routes, in.Name)
		slices.Sort(routes)
	case !in.settled():
		return nil
	default:
		routes = slices.DeleteFunc(routes, func(name string) bool { return name == in.Name })
	}
	to := o.DeepCopyObject().(client.Object)
	annotations := to.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[serving.RoutesAnnotationKey] = strings.Join(routes, ",")
	if len(routes) == 0 {
		delete(annotations, serving.RoutesAnnotationKey)
	}
	to.SetAnnotations(annotations)
	return to
}

// state returns r with a routing state that fits its routes, if it has another; nil if it fits, or if it is too early to say.
func (in Input) state(r *servingv1.Revision, listed bool) *servingv1.Revision {
	want := stateOf(r)
	if r.RoutingState() == want || r.DeletionTimestamp != nil || !listed && (!in.settled() || in.Route == nil) {
		return nil
	}
	to := r.DeepCopy()
	to.SetRoutingState(want, in.Now)
	return to
}

func stateOf(r *servingv1.Revision) servingv1.RoutingState {
	if len(index.Routes(r)) > 0 {
		return servingv1.RoutingStateActive
	}
	return servingv1.RoutingStateReserve
}
