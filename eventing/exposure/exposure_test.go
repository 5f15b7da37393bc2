package exposure

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/crds/conditions"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
)

func TestARouteLeadsThereOnceGatewaysAcceptedIt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ready *conditions.Condition
		want  bool
		why   string
	}{
		{"nobody has answered", nil, false, "no gateway has answered for the route to it yet"},
		{"accepted", &conditions.Condition{Status: corev1.ConditionTrue}, true, ""},
		{"refused", &conditions.Condition{Status: corev1.ConditionFalse, Reason: "Refused", Message: "host taken"}, false, "the route to it: Refused host taken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var route networking.Ingress
			if tt.ready != nil {
				tt.ready.Type = networking.IngressConditionReady
				route.Status.Conditions = []conditions.Condition{*tt.ready}
			}
			if got, why := Reached(&route); got != tt.want || why != tt.why {
				t.Errorf("%t, %q", got, why)
			}
		})
	}
}
