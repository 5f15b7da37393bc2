package destination

import (
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
)

func TestADestinationThatNamesNothingIsNotGiven(t *testing.T) {
	r := &Resolver{ClusterDomain: "cluster.local"}
	for _, d := range []*duck.Destination{nil, {}, {CACerts: ptr.To("pem")}} {
		if found := r.Find(t.Context(), d, "shop"); found.Err != nil || found.URL != "" {
			t.Errorf("%+v: %+v", d, found)
		}
	}
	if found := r.DeadLetters(t.Context(), nil, "shop"); found.Err != nil || found.URL != "" {
		t.Errorf("no delivery: %+v", found)
	}
	var unresolved *Unresolved
	if found := r.Require(t.Context(), duck.Destination{}, "shop"); !errors.As(found.Err, &unresolved) || unresolved.Reason != "MissingDestination" {
		t.Errorf("one that must be there: %+v", found)
	}
	if found := r.Find(t.Context(), &duck.Destination{URI: ptr.To("http://sink.example/x")}, "shop"); found.Err != nil || found.URL != "http://sink.example/x" {
		t.Errorf("a URI: %+v", found)
	}
}

func TestWhatBecameOfADeadLetterSinkIsStated(t *testing.T) {
	tests := []struct {
		name                    string
		found                   Found
		status, reason, message string
		uri                     *string
	}{
		{"none", Found{}, "True", "DeadLetterSinkNotConfigured", "No dead letter sink is configured.", nil},
		{"there", Found{Resolved: Resolved{URL: "http://graves"}}, "True", "", "", ptr.To("http://graves")},
		{"missing", Found{Err: fmt.Errorf("look: %w", &Unresolved{Reason: "NotFound", Message: "Service shop/graves does not exist"})},
			"False", "NotFound", "dead letter sink: Service shop/graves does not exist", nil},
		{"not to be read", Found{Err: errors.New("timeout")}, "False", "ResolveFailed", "dead letter sink: timeout", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s eventingv1.BrokerStatus
			s.DeadLetterSinkURI = ptr.To("http://old")
			tt.found.StateDeadLetters(s.Mark(metav1.NewTime(time.Unix(0, 0))), eventingv1.BrokerConditionDeadLetterSinkResolved, &s.DeliveryStatus)
			c := s.GetCondition(eventingv1.BrokerConditionDeadLetterSinkResolved)
			if string(c.Status) != tt.status || c.Reason != tt.reason || c.Message != tt.message {
				t.Errorf("condition %+v", c)
			}
			if ptr.Deref(s.DeadLetterSinkURI, "") != ptr.Deref(tt.uri, "") {
				t.Errorf("URI %v", ptr.Deref(s.DeadLetterSinkURI, "<nil>"))
			}
		})
	}
}
