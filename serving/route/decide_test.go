package route

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/goldentest"
	"ebb.dev/ebb/serving/rollout"
)

// given is what a case says beside its objects.
type given struct {
	ExternalPort int32 `json:"externalPort"`
	// Current says that the KIngress is what it should be, whatever is left out of it.
	Current bool `json:"current"`
}

func input(t *testing.T, c *goldentest.Case) Input {
	var g given
	c.Given(t, &g)
	in := Input{
		Route: goldentest.First[*servingv1.Route](c, ""), Config: c.Config, Now: goldentest.Now, ExternalPort: g.ExternalPort,
		Gateway: "ebb-gateway-internal.ebb-system.svc.cluster.local", Ingress: goldentest.First[*networkingv1alpha1.Ingress](c, ""),
		Configurations: map[string]*servingv1.Configuration{}, Revisions: map[string]*servingv1.Revision{},
	}
	for _, o := range goldentest.All[*servingv1.Configuration](c) {
		in.Configurations[o.Name] = o
	}
	for _, o := range goldentest.All[*servingv1.Revision](c) {
		in.Revisions[o.Name] = o
	}
	for _, o := range goldentest.All[*corev1.Service](c) {
		in.Services = append(in.Services, *o)
	}
	if g.Current {
		for _, u := range Decide(in).Plan.Update {
			if to, ok := u.To.(*networkingv1alpha1.Ingress); ok {
				in.Ingress = to
			}
		}
	}
	return in
}

func TestGoldens(t *testing.T) {
	goldentest.Run(t, func(t *testing.T, c *goldentest.Case) any {
		in := input(t, c)
		d := Decide(in)
		shown := goldentest.Show(t, d.Plan, d.News).WithStatus(in.Route.Status, d.Status, d.Pace)
		if !d.Next.IsZero() {
			shown.Next = d.Next.Sub(goldentest.Now).String()
		}
		return shown
	})
}

func TestWhatIsDoneIsNotDoneAgain(t *testing.T) {
	goldentest.Again(t, func(t *testing.T, c *goldentest.Case) apply.Plan { return Decide(input(t, c)).Plan })
}

// The whole of a gradual rollout, as the reconciler would take it: one percent, then equal steps, then everything.
func TestARolloutEndsWithEverythingOnTheNewRevision(t *testing.T) {
	in := input(t, goldentest.Load(t, "testdata/a-rollout-begins/in.yaml"))
	now := goldentest.Now
	var shares []int
	for range 200 {
		in.Now = now
		d := Decide(in)
		in.Route.Status = d.Status
		for _, u := range d.Plan.Update {
			if to, ok := u.To.(*networkingv1alpha1.Ingress); ok {
				in.Ingress = to
				in.Ingress.Generation++
			}
		}
		splits := in.Ingress.Spec.Rules[0].HTTP.Paths[0].Splits
		newest := splits[len(splits)-1]
		if len(shares) == 0 || shares[len(shares)-1] != newest.Percent {
			shares = append(shares, newest.Percent)
		}
		if newest.Percent == 100 && newest.ServiceName == "shop-00002" {
			break
		}
		if ready := d.Status.GetCondition(servingv1.RouteConditionReady); ready.Reason != "RolloutInProgress" {
			t.Fatalf("at %v: %+v", now.Sub(goldentest.Now), ready)
		}
		in.Ingress.Status.ObservedGeneration = in.Ingress.Generation
		m := in.Ingress.Status.Mark(metav1.NewTime(now))
		m.NetworkConfigured()
		m.LoadBalancerReady(nil, nil)
		now = now.Add(500 * time.Millisecond)
		if !d.Next.IsZero() {
			now = d.Next
		}
	}
	if took := now.Sub(goldentest.Now); took < 9*time.Second || took > 12*time.Second {
		t.Errorf("the rollout of 10 s took %v", took)
	}
	if shares[0] != 1 || shares[len(shares)-1] != 100 || len(shares) < 9 {
		t.Errorf("shares %v", shares)
	}
	state, err := rollout.Parse(in.Ingress.Annotations[networking.RolloutAnnotationKey])
	if err != nil || !state.Done() {
		t.Errorf("%+v, %v", state, err)
	}
}
