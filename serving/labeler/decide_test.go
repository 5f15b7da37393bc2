package labeler

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

var now = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

func configuration(latestCreated string, generation int64, routes string) servingv1.Configuration {
	c := servingv1.Configuration{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "c1", Generation: generation}}
	c.Status.LatestCreatedRevisionName = latestCreated
	if routes != "" {
		c.Annotations = map[string]string{serving.RoutesAnnotationKey: routes}
	}
	return c
}

func revision(name string, state servingv1.RoutingState, routes string) servingv1.Revision {
	r := servingv1.Revision{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{serving.RoutingStateLabelKey: string(state)},
		Annotations:     map[string]string{serving.RoutingStateModifiedAnnotationKey: "2026-08-01T00:00:00Z"},
		OwnerReferences: []metav1.OwnerReference{{Kind: "Configuration", Name: "shop", UID: "c1", Controller: ptr.To(true)}},
	}}
	if routes != "" {
		r.Annotations[serving.RoutesAnnotationKey] = routes
	}
	return r
}

// route sends traffic to the latest revision, or to those that are named.
func route(ready bool, revisions ...string) *servingv1.Route {
	r := &servingv1.Route{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	for _, name := range revisions {
		r.Spec.Traffic = append(r.Spec.Traffic, servingv1.TrafficTarget{RevisionName: name, LatestRevision: ptr.To(false)})
	}
	if len(revisions) == 0 {
		r.Spec.Traffic = []servingv1.TrafficTarget{{ConfigurationName: "shop", LatestRevision: ptr.To(true)}}
	}
	if ready {
		r.Status.Conditions = []conditions.Condition{{Type: conditions.Ready, Status: "True"}}
	}
	return r
}

func TestOnlyWhatHasChangedIsNoted(t *testing.T) {
	active, reserve, pending := servingv1.RoutingStateActive, servingv1.RoutingStateReserve, servingv1.RoutingStatePending
	serving := func(r *servingv1.Route, revision string) *servingv1.Route {
		r.Status.Traffic = []servingv1.TrafficTarget{{RevisionName: revision, LatestRevision: ptr.To(true)}}
		return r
	}
	for _, c := range []struct {
		name           string
		route          *servingv1.Route
		configurations []servingv1.Configuration
		revisions      []servingv1.Revision
		want           map[string]string // routes and state by name, of what is changed
	}{
		{"a new Service", route(false), []servingv1.Configuration{configuration("", 1, "shop")},
			[]servingv1.Revision{revision("shop-00001", active, "shop")}, nil},
		{"ready", serving(route(true), "shop-00001"), []servingv1.Configuration{configuration("shop-00001", 1, "shop")},
			[]servingv1.Revision{revision("shop-00001", active, "shop")}, nil},
		{"a new revision before the status knows it", serving(route(true), "shop-00001"), []servingv1.Configuration{configuration("shop-00001", 2, "shop")},
			[]servingv1.Revision{revision("shop-00001", active, "shop"), revision("shop-00002", active, "shop")}, nil},
		{"traffic has moved", serving(route(true), "shop-00002"), []servingv1.Configuration{configuration("shop-00002", 2, "shop")},
			[]servingv1.Revision{revision("shop-00001", active, "shop"), revision("shop-00002", active, "shop")},
			map[string]string{"shop-00001": "/reserve"}},
		{"traffic is on its way", serving(route(false), "shop-00001"), []servingv1.Configuration{configuration("shop-00002", 2, "shop")},
			[]servingv1.Revision{revision("shop-00000", active, "shop"), revision("shop-00002", active, "shop")}, nil},
		{"a standalone Route", route(false), []servingv1.Configuration{configuration("shop-00001", 1, "")},
			[]servingv1.Revision{revision("shop-00001", pending, "")}, map[string]string{"shop": "shop/", "shop-00001": "shop/active"}},
		{"pinned to an old one", route(true, "shop-00001"), []servingv1.Configuration{configuration("shop-00002", 2, "shop")},
			[]servingv1.Revision{revision("shop-00001", reserve, ""), revision("shop-00002", active, "shop")},
			map[string]string{"shop-00001": "shop/active", "shop-00002": "/reserve"}},
		{"a new one that nobody refers to", route(true, "shop-00001"), []servingv1.Configuration{configuration("shop-00001", 2, "shop")},
			[]servingv1.Revision{revision("shop-00001", active, "shop"), revision("shop-00002", pending, "")},
			map[string]string{"shop-00002": "/reserve"}},
		{"beside another Route", route(true, "shop-00002"), []servingv1.Configuration{configuration("shop-00002", 2, "canary,shop")},
			[]servingv1.Revision{revision("shop-00001", active, "canary,shop"), revision("shop-00002", active, "shop")},
			map[string]string{"shop-00001": "canary/active"}},
		{"gone", nil, []servingv1.Configuration{configuration("shop-00001", 1, "canary,shop")},
			[]servingv1.Revision{revision("shop-00001", active, "shop")}, map[string]string{"shop": "canary/", "shop-00001": "/reserve"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Decide(Input{Name: "shop", Route: c.route, Configurations: c.configurations, Revisions: c.revisions, Now: now})
			got := map[string]string{}
			for _, u := range p.Update {
				state := u.To.GetLabels()["serving.knative.dev/routingState"]
				got[u.To.GetName()] = u.To.GetAnnotations()["serving.knative.dev/routes"] + "/" + state
				modified := u.To.GetAnnotations()["serving.knative.dev/routingStateModified"]
				if changed := state != u.From.GetLabels()["serving.knative.dev/routingState"]; changed != (modified == "2026-08-21T12:00:00Z") {
					t.Errorf("%s: modified at %s", u.To.GetName(), modified)
				}
				if !u.Exclusive {
					t.Errorf("%s: a list that others write too is changed without looking", u.To.GetName())
				}
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("changes (-want +got):\n%s", cmp.Diff(c.want, got))
			}
		})
	}
}
