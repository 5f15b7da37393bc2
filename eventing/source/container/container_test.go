package container_test

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/source/binding"
	"ebb.dev/ebb/eventing/source/container"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/eventrig"
)

// With the SinkBinding's controller beside it, on an API server: the Deployment is made once, told from the beginning, and follows what changes.
func TestPodsAreToldTheirSinkFromTheBeginning(t *testing.T) {
	r := eventrig.Start(t, apiserver.Options{})
	bindings := &binding.Reconciler{Client: r.Manager.GetClient(), Resolver: r.Resolver, Exposer: r, Clock: clock.RealClock{}, Log: r.Log}
	sources := &container.Reconciler{Client: r.Manager.GetClient(), Reader: r.Manager.GetAPIReader(), Clock: clock.RealClock{}}
	for _, setup := range []error{bindings.Setup(r.Manager), sources.Setup(r.Manager)} {
		if setup != nil {
			t.Fatal(setup)
		}
	}
	r.Run(t)
	r.Namespace(t, "shop", nil)
	s := &sourcesv1.ContainerSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "beat"}}
	s.Spec.Sink = duck.Destination{Ref: &duck.KReference{APIVersion: "v1", Kind: "Service", Name: "sink"}}
	s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "beat", Image: "i"}}
	r.Create(t, s)
	var d appsv1.Deployment
	awaitDeployment := func(what string, is func() bool) {
		t.Helper()
		apiserver.Eventually(t, what, func(ctx context.Context) bool {
			return r.Client.Get(ctx, client.ObjectKey{Namespace: "shop", Name: "beat-deployment"}, &d) == nil && is()
		})
	}
	sink := func() string {
		for _, e := range d.Spec.Template.Spec.Containers[0].Env {
			if e.Name == "K_SINK" {
				return e.Value
			}
		}
		return ""
	}
	awaitDeployment("the Deployment", func() bool { return true })
	if d.Generation != 1 || sink() != "http://sink.shop.svc.cluster.local" {
		t.Errorf("generation %d, sink %q", d.Generation, sink())
	}
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}
	if err := r.Client.Status().Update(t.Context(), &d); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "the source is ready", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(s), s) == nil && s.IsReady()
	})
	eventrig.Change(t, r, s, func(s *sourcesv1.ContainerSource) { s.Spec.Template.Spec.Containers[0].Image = "j" })
	awaitDeployment("the new image", func() bool {
		return d.Spec.Template.Spec.Containers[0].Image == "j" && d.Generation == 2 && strings.Contains(sink(), "//sink.")
	})
	r.Create(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "other"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	eventrig.Change(t, r, s, func(s *sourcesv1.ContainerSource) { s.Spec.Sink.Ref.Name = "other" })
	awaitDeployment("the new sink", func() bool { return strings.Contains(sink(), "//other.") })
	if d.Generation != 3 {
		t.Errorf("the Deployment was changed %d times", d.Generation-1)
	}
}
