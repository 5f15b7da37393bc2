package apiserver

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/filter"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// pod is one that a ReplicaSet controls.
func pod(verb Verb) Change {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": map[string]any{"nodeName": "n"}}}
	o.SetNamespace("shop")
	o.SetName("cart-1")
	o.SetUID("u1")
	o.SetResourceVersion("7")
	o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "cart", Controller: ptr.To(true)}})
	return Change{Verb: verb, Kind: schema.FromAPIVersionAndKind("v1", "Pod"), Resource: schema.GroupVersionResource{Version: "v1", Resource: "pods"}, Object: o}
}

// node is in no namespace.
func node() Change {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u2", ResourceVersion: "8"}}
	return Change{Verb: Add, Kind: schema.FromAPIVersionAndKind("v1", "Node"), Resource: schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, Object: o}
}

func TestEventsLookAsKnativesDo(t *testing.T) {
	for _, tt := range []struct {
		name    string
		whole   bool
		change  Change
		kind    string
		subject string
		data    map[string]any
		without []string
	}{
		{
			name: "a reference", change: pod(Add), kind: "dev.knative.apiserver.ref.add", subject: "/apis/v1/namespaces/shop/pods/cart-1",
			data: map[string]any{"apiVersion": "v1", "kind": "Pod", "name": "cart-1", "namespace": "shop"},
		},
		{name: "an update of one", change: pod(Update), kind: "dev.knative.apiserver.ref.update", subject: "/apis/v1/namespaces/shop/pods/cart-1"},
		{name: "the whole", whole: true, change: pod(Delete), kind: "dev.knative.apiserver.resource.delete", subject: "/apis/v1/namespaces/shop/pods/cart-1"},
		{name: "in no namespace", change: node(), kind: "dev.knative.apiserver.ref.add", subject: "/apis/v1/nodes/n", without: []string{"namespace"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &telling{source: "s", host: "https://10.96.0.1:443", whole: tt.whole, extensions: map[string]string{"stage": "test"}}
			e, err := p.event(tt.change, noon)
			if err != nil || e == nil {
				t.Fatal(e, err)
			}
			if e.Type() != tt.kind || e.Source() != "https://10.96.0.1:443" || e.Subject() != tt.subject || !e.Time().Equal(noon) || e.Validate() != nil {
				t.Errorf("%v: %v", e, e.Validate())
			}
			names := []string{"apiversion", "kind", "name", "namespace", "partitionkey", "stage"}
			names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(tt.without, n) })
			if got := slices.Sorted(maps.Keys(e.Extensions())); !slices.Equal(got, names) {
				t.Errorf("extensions %v", got)
			}
			var data map[string]any
			if err := json.Unmarshal(e.Data(), &data); err != nil {
				t.Fatal(err)
			}
			if tt.data != nil && !maps.Equal(data, tt.data) {
				t.Errorf("data %v", data)
			}
			if _, whole := data["spec"]; whole != tt.whole {
				t.Errorf("data %v", data)
			}
		})
	}
}

func TestOneChangeHasOneID(t *testing.T) {
	id := func(p *telling, c Change) string {
		e, err := p.event(c, noon)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID()
	}
	a, b := &telling{source: "a"}, &telling{source: "b"}
	if first, again := id(a, pod(Add)), id(a, pod(Add)); first != again {
		t.Errorf("the same change has two ids, %s and %s", first, again)
	}
	if ids := []string{id(a, pod(Add)), id(a, pod(Update)), id(b, pod(Add))}; ids[0] == ids[1] || ids[0] == ids[2] {
		t.Errorf("different events have one id: %v", ids)
	}
}

func TestOnlyWhatIsAskedForIsTold(t *testing.T) {
	compiled, err := filter.Compile(filter.Spec{Filters: []filter.Dialect{{Exact: map[string]string{"type": "dev.knative.apiserver.ref.delete"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		p    *telling
		c    Change
		told bool
	}{
		{"everything", &telling{}, pod(Add), true},
		{"of an owner", &telling{owner: &sourcesv1.APIVersionKind{APIVersion: "apps/v1", Kind: "ReplicaSet"}}, pod(Add), true},
		{"of another", &telling{owner: &sourcesv1.APIVersionKind{APIVersion: "batch/v1", Kind: "Job"}}, pod(Add), false},
		{"of nobody", &telling{owner: &sourcesv1.APIVersionKind{APIVersion: "batch/v1", Kind: "Job"}}, node(), false},
		{"what passes", &telling{filter: compiled}, pod(Delete), true},
		{"what does not", &telling{filter: compiled}, pod(Add), false},
	} {
		if e, err := tt.p.event(tt.c, noon); err != nil || (e != nil) != tt.told {
			t.Errorf("%s: %v, %v", tt.name, e, err)
		}
	}
}
