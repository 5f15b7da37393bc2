package exposure

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

func TestAHostLeadsToItsKind(t *testing.T) {
	for name, tt := range map[string]struct {
		host     Host
		domain   string
		names    []string
		external int
	}{
		"inside": {Host{Service: "job-sink", Purpose: "jobsink"}, "example.com",
			[]string{"job-sink.knative-eventing.svc.cluster.local", "job-sink.knative-eventing.svc", "job-sink.knative-eventing"}, 0},
		"outside too": {Host{Service: "ask", Purpose: "ask", External: true}, "example.com",
			[]string{"ask.knative-eventing.svc.cluster.local", "ask.knative-eventing.svc", "ask.knative-eventing", "ask.knative-eventing.example.com"}, 1},
		"no domain": {Host{Service: "ask", Purpose: "ask", External: true}, "",
			[]string{"ask.knative-eventing.svc.cluster.local", "ask.knative-eventing.svc", "ask.knative-eventing"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.host.Names("cluster.local", tt.domain); !slices.Equal(got, tt.names) {
				t.Errorf("names %v", got)
			}
			placeholder, route := tt.host.Exposure("gateway.ebb", "cluster.local", tt.domain)
			var hosts []string
			for _, rule := range route.Spec.Rules {
				hosts = append(hosts, rule.Hosts...)
			}
			if !slices.Equal(hosts, tt.names) || len(route.Spec.Rules) != 1+tt.external || placeholder.Spec.ExternalName != "gateway.ebb" ||
				placeholder.Name != route.Name || route.Labels[PurposeKey] != tt.host.Purpose {
				t.Errorf("%+v %+v", placeholder, route.Spec)
			}
		})
	}
}

func TestAProcessOutsideListensOnAnAddressOfEitherFamily(t *testing.T) {
	for given, want := range map[string]struct {
		family  discoveryv1.AddressType
		address string
	}{
		"127.0.0.1":       {discoveryv1.AddressTypeIPv4, "127.0.0.1"},
		"::1":             {discoveryv1.AddressTypeIPv6, "::1"},
		"::ffff:10.0.0.1": {discoveryv1.AddressTypeIPv4, "10.0.0.1"},
	} {
		if _, slice := BackendService(given, 8080); slice.AddressType != want.family || slice.Endpoints[0].Addresses[0] != want.address {
			t.Errorf("%s: %+v", given, slice)
		}
	}
}

func TestARouteIsMissingUntilGatewaysAnswerForIt(t *testing.T) {
	ready := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		status corev1.ConditionStatus
		at     time.Time
		want   bool
	}{
		{"nobody has said anything", "", ready, true},
		{"it is being made", corev1.ConditionUnknown, ready, true},
		{"it is refused", corev1.ConditionFalse, ready, false},
		{"before it was there", corev1.ConditionTrue, ready.Add(-time.Minute), true},
		{"within the second of it", corev1.ConditionTrue, ready.Add(999 * time.Millisecond), true},
		{"after it was there", corev1.ConditionTrue, ready.Add(time.Second), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var route networking.Ingress
			if tt.status != "" {
				route.Status.Conditions = []conditions.Condition{{Type: networking.IngressConditionReady, Status: tt.status, LastTransitionTime: metav1.NewTime(ready)}}
			}
			if got := Missing(&route, tt.at); got != tt.want {
				t.Error(got)
			}
		})
	}
}
