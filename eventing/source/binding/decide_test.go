package binding

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func named(name, deployment string) *sourcesv1.SinkBinding {
	b := &sourcesv1.SinkBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "u", Generation: 2}}
	b.Spec.Subject = duck.Subject{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: deployment}
	return b
}

func TestStatusSaysWhoIsNotTold(t *testing.T) {
	there := destination.Found{Resolved: destination.Resolved{URL: "http://sink"}}
	lost := destination.Found{Err: &destination.Unresolved{Reason: "NotFound", Message: "Service shop/sink does not exist"}}
	for _, tt := range []struct {
		name  string
		in    Input
		ready string
		says  string
	}{
		{"all is well", Input{Sink: there}, "True:", ""},
		{"no sink", Input{Sink: lost}, "False:NotFound", "Service shop/sink does not exist"},
		{"nobody to tell", Input{Sink: there, Missing: true}, "False:SubjectMissing", "Deployment shop/cart does not exist"},
		{"somebody who cannot listen", Input{Sink: there, Fixed: []string{"cart"}}, "False:SubjectImmutable", "make it again"},
		{"a refusal", Input{Sink: there, Err: errors.New("refused")}, "False:SubjectUnavailable", "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Binding, tt.in.Now = named("b", "cart"), noon
			out := Decide(tt.in)
			c := out.GetCondition(conditions.Ready)
			if string(c.Status)+":"+c.Reason != tt.ready || !strings.Contains(c.Message, tt.says) || out.ObservedGeneration != 2 {
				t.Errorf("%+v", c)
			}
			if (out.SinkURI != nil) != (tt.in.Sink.Err == nil) {
				t.Errorf("sink %v", out.SinkURI)
			}
		})
	}
}

func TestAFormerSubjectIsRemembered(t *testing.T) {
	b := named("b", "cart")
	if _, changed := former(b); changed {
		t.Error("a new SinkBinding has a former subject")
	}
	b.Status = Decide(Input{Binding: b, Sink: destination.Found{Resolved: destination.Resolved{URL: "http://sink"}}, Now: noon})
	if _, changed := former(b); changed {
		t.Error("the same subject is a former one")
	}
	b.Spec.Subject.Name = "till"
	if old, changed := former(b); !changed || old.Name != "cart" {
		t.Errorf("%+v, %v", old, changed)
	}
}

func TestTheFirstSinkBindingTells(t *testing.T) {
	first, second := named("z", "cart"), named("a", "cart")
	first.UID, second.UID = "1", "2"
	first.CreationTimestamp, second.CreationTimestamp = metav1.NewTime(noon), metav1.NewTime(noon.Add(time.Second))
	second.Spec.Subject.Name, second.Spec.Subject.Selector = "", &metav1.LabelSelector{MatchLabels: map[string]string{"app": "cart"}}
	all := []sourcesv1.SinkBinding{*first, *second}
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetName("cart")
	o.SetLabels(map[string]string{"app": "cart"})
	if a, b := firstOf(all, first, o), firstOf(all, second, o); a != "" || b != "z" {
		t.Errorf("%q, %q", a, b)
	}
	all[0].DeletionTimestamp = &metav1.Time{Time: noon}
	if got := firstOf(all, second, o); got != "" {
		t.Errorf("one that goes tells: %q", got)
	}
}
