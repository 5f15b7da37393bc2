package apiserver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"ebb.dev/ebb/crds/conditions"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
)

func shop() *sourcesv1.ApiServerSource {
	return &sourcesv1.ApiServerSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pods", UID: "u", Generation: 3},
		Spec:       sourcesv1.ApiServerSourceSpec{ServiceAccountName: "watcher", EventMode: sourcesv1.ReferenceMode},
	}
}

var there = destination.Found{Resolved: destination.Resolved{URL: "http://sink"}}

func TestStatusSaysWhatKeepsASourceFromWatching(t *testing.T) {
	lost := destination.Found{Err: &destination.Unresolved{Reason: "NotFound", Message: "Service shop/sink does not exist"}}
	missing := []Lack{{Verbs: []string{"list", "watch"}, Resource: schema.GroupResource{Resource: "pods"}, Namespace: "shop"}}
	for _, tt := range []struct {
		name string
		in   Input
		// want are condition=status:reason.
		want []string
		says string
	}{
		{"all is well", Input{Sink: there, Synced: true}, []string{"Ready=True:", "Deployed=True:", "SufficientPermissions=True:", "SinkProvided=True:"}, ""},
		{"beginning", Input{Sink: there}, []string{"Ready=Unknown:Starting", "Deployed=Unknown:Starting"}, ""},
		{"no sink", Input{Sink: lost}, []string{"Ready=False:NotFound", "SinkProvided=False:NotFound", "Deployed=Unknown:SinkMissing"}, "Service shop/sink does not exist"},
		{
			"no permission", Input{Sink: there, Missing: missing},
			[]string{"Ready=False:InsufficientPermissions", "SufficientPermissions=False:InsufficientPermissions", "Deployed=Unknown:InsufficientPermissions"},
			`User system:serviceaccount:shop:watcher cannot list, watch resource "pods" in API group "" in Namespace "shop"; allow it, such as with: ` +
				`kubectl create role watcher-pods --verb=get,list,watch --resource=pods -n shop && ` +
				`kubectl create rolebinding watcher-pods --role=watcher-pods --serviceaccount=shop:watcher -n shop`,
		},
		{
			"no permission anywhere", Input{Sink: there, Missing: []Lack{{Verbs: verbs, Resource: schema.GroupResource{Group: "apps", Resource: "deployments"}}}},
			[]string{"SufficientPermissions=False:InsufficientPermissions"},
			"kubectl create clusterrole watcher-deployments --verb=get,list,watch --resource=deployments.apps && kubectl create clusterrolebinding",
		},
		{"an unknown kind", Input{Sink: there, Wrong: unserved{"Cart of shop/v1"}}, []string{"Ready=False:BadSpec", "SufficientPermissions=Unknown:NotAsked"}, "does not serve Cart of shop/v1"},
		{"a full log", Input{Sink: there, Stored: errors.New("no room")}, []string{"Deployed=False:NotStored"}, "no room"},
		{"a broken watch", Input{Sink: there, Trouble: errors.New("refused")}, []string{"Deployed=False:WatchFailed"}, "refused"},
		{
			"a broker that may not", Input{Sink: there, Trouble: fmt.Errorf("watch: %w", apierrors.NewForbidden(schema.GroupResource{Group: "shop", Resource: "carts"}, "", errors.New("no")))},
			[]string{"Deployed=False:WatchFailed"},
			"kubectl create clusterrole watched-carts --verb=list,watch --resource=carts.shop && kubectl label clusterrole watched-carts eventing.ebb.dev/watched=true",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Source, tt.in.Now, tt.in.Host, tt.in.Namespaces = shop(), noon, "https://api", []string{"shop"}
			out := Decide(tt.in)
			if out.ObservedGeneration != 3 {
				t.Errorf("generation %d", out.ObservedGeneration)
			}
			var messages []string
			for _, want := range tt.want {
				name, state, _ := strings.Cut(want, "=")
				c := out.GetCondition(conditions.Type(name))
				if c == nil || string(c.Status)+":"+c.Reason != state {
					t.Errorf("%s: %+v", want, c)
					continue
				}
				messages = append(messages, c.Message)
			}
			if !slices.ContainsFunc(messages, func(m string) bool { return strings.Contains(m, tt.says) }) {
				t.Errorf("messages %q, want %q", messages, tt.says)
			}
			if sink := tt.in.Sink.Err == nil; sink != (out.SinkURI != nil) || sink != (len(out.CloudEventAttributes) == 3) {
				t.Errorf("sink %v, attributes %v", out.SinkURI, out.CloudEventAttributes)
			}
		})
	}
}

func TestAReaderKeepsAnObjectsEventsInOrderUnlessToldOtherwise(t *testing.T) {
	for _, tt := range []struct {
		order           string
		ordered, paused bool
	}{{"", true, false}, {"ordered", true, false}, {"unordered", false, false}, {"random", true, true}} {
		s := shop()
		if tt.order != "" {
			s.Annotations = map[string]string{broker.OrderKey: tt.order}
		}
		r, err := ReaderOf(s, there)
		if r.Ordered != tt.ordered || r.Paused != tt.paused || (err != nil) != tt.paused || r.Subscriber.URL != "http://sink" {
			t.Errorf("%q: %+v, %v", tt.order, r, err)
		}
	}
	if r, err := ReaderOf(shop(), destination.Found{Err: errors.New("x")}); err != nil || r.Subscriber.URL != "" {
		t.Errorf("a sink that is missing: %+v, %v", r, err)
	}
}

func TestReadyFollowsTheOthers(t *testing.T) {
	s := shop()
	s.Status = Decide(Input{Source: s, Sink: there, Synced: true, Now: noon})
	if !s.IsReady() {
		t.Errorf("%+v", s.Status.Conditions)
	}
	if c := s.Status.GetCondition(conditions.Ready); c.Status != corev1.ConditionTrue {
		t.Errorf("%+v", c)
	}
}
