package ingress

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/serving/status"
)

var (
	noon = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)
	at   = Addresses{Public: "gateway.ebb-system.svc.cluster.local", Private: "gateway-internal.ebb-system.svc.cluster.local"}
)

func ingress(generation int64) *networkingv1alpha1.Ingress {
	return &networkingv1alpha1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop", Generation: generation}}
}

func ready(d Decision) conditions.Condition {
	return *d.Status.GetCondition(networkingv1alpha1.IngressConditionReady)
}

func TestAcceptedByEveryGatewayIsReady(t *testing.T) {
	d := Decide(ingress(3), Outcome{}, at, noon)
	r := ready(d)
	if !r.IsTrue() || d.Pace != status.Now || d.Status.ObservedGeneration != 3 || len(d.News) != 0 {
		t.Errorf("%+v", d)
	}
	if public, private := d.Status.PublicLoadBalancer.Ingress[0].DomainInternal, d.Status.PrivateLoadBalancer.Ingress[0].DomainInternal; public != at.Public || private != at.Private {
		t.Errorf("load balancers %s, %s", public, private)
	}
}

func TestARefusalIsQuoted(t *testing.T) {
	d := Decide(ingress(1), Outcome{Refused: []string{"host a is taken by Ingress other/shop", "gateway/1: bad regex"}}, at, noon)
	r := ready(d)
	if !r.IsFalse() || r.Reason != ReasonRefused || r.Message != "host a is taken by Ingress other/shop; gateway/1: bad regex" {
		t.Errorf("%+v", r)
	}
	if d.Pace != status.Now || len(d.News) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestGatewaysThatDoNotAnswerAreWaitedFor(t *testing.T) {
	d := Decide(ingress(1), Outcome{Err: errors.New("no gateway is connected")}, at, noon)
	r := ready(d)
	if !r.IsUnknown() || r.Reason != ReasonPending || r.Message != "Waiting for the gateways: no gateway is connected" || d.Pace != status.Soon {
		t.Errorf("%+v", d)
	}
}

func TestWhatServesStaysReadyWhileGatewaysComeBack(t *testing.T) {
	i := ingress(2)
	i.Status = Decide(i, Outcome{}, at, noon).Status
	again := Decide(i, Outcome{Err: errors.New("no gateway is connected")}, at, noon.Add(time.Hour))
	if r := ready(again); !r.IsTrue() {
		t.Errorf("%+v", r)
	}
	i.Generation = 3
	changed := Decide(i, Outcome{Err: errors.New("no gateway is connected")}, at, noon.Add(time.Hour))
	if r := ready(changed); !r.IsUnknown() {
		t.Errorf("new rules count as accepted: %+v", r)
	}
}
