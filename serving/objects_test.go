package serving_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/autoscaling"
	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// A revision that sleeps is as ready as one that is awake, and the tables say so in Knative's columns.
func kubectlShowsHowServicesFare(t *testing.T, r *rig) {
	ns := r.namespace(t, "columns")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	const url = "http://shop.columns.example.com:8080"
	for kind, want := range map[string]string{
		"ksvc": "NAME URL LATESTCREATED LATESTREADY READY REASON shop " + url + " shop-00001 shop-00001 True",
		"cfg":  "NAME LATESTCREATED LATESTREADY READY REASON shop shop-00001 shop-00001 True",
		"rt":   "NAME URL READY REASON shop " + url + " True",
		"rev":  "NAME CONFIG NAME GENERATION READY REASON ACTUAL REPLICAS DESIRED REPLICAS shop-00001 shop 1 True 0 0",
	} {
		if got := strings.Join(strings.Fields(r.Kubectl(t, "", "get", kind, "-n", ns)), " "); got != want {
			t.Errorf("%s\n got %s\nwant %s", kind, got, want)
		}
	}
	rev := get(t, r, ns, "shop-00001", &servingv1.Revision{})
	if c := rev.Status.GetCondition(servingv1.RevisionConditionActive); !rev.IsReady() || !c.IsFalse() || c.Reason != servingv1.ReasonNoTraffic || c.Severity != "Info" {
		t.Errorf("asleep, the revision says %+v", rev.Status.Conditions)
	}
}

// Every child says whose it is, so that deleting a Service, or any part of it, takes along what hangs on it.
func everyChildKnowsItsOwner(t *testing.T, r *rig) {
	ns := r.namespace(t, "owners")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	for _, c := range []struct {
		child client.Object
		name  string
		owner string
	}{
		{&servingv1.Configuration{}, "shop", "serving.knative.dev/v1 Service shop"},
		{&servingv1.Route{}, "shop", "serving.knative.dev/v1 Service shop"},
		{&servingv1.Revision{}, "shop-00001", "serving.knative.dev/v1 Configuration shop"},
		{&networkingv1alpha1.Ingress{}, "shop", "serving.knative.dev/v1 Route shop"},
		{&corev1.Service{}, "shop", "serving.knative.dev/v1 Route shop"},
		{&corev1.Service{}, "shop-00001", "serving.knative.dev/v1 Revision shop-00001"},
		{&appsv1.Deployment{}, "shop-00001-deployment", "serving.knative.dev/v1 Revision shop-00001"},
		{&autoscalingv1alpha1.PodAutoscaler{}, "shop-00001", "serving.knative.dev/v1 Revision shop-00001"},
	} {
		owner := metav1.GetControllerOf(get(t, r, ns, c.name, c.child))
		if owner == nil || owner.APIVersion+" "+owner.Kind+" "+owner.Name != c.owner || owner.UID == "" || owner.BlockOwnerDeletion == nil {
			t.Errorf("%T %s is controlled by %+v, want %s", c.child, c.name, owner, c.owner)
		}
	}
}

func aRevisionNeverChanges(t *testing.T, r *rig) {
	ns := r.namespace(t, "immutable")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	rev := get(t, r, ns, "shop-00001", &servingv1.Revision{})
	err := r.api.Patch(t.Context(), rev, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"timeoutSeconds":7}}`)))
	if err == nil || !strings.Contains(err.Error(), "spec") {
		t.Errorf("its spec could be changed: %v", err)
	}
	s := get(t, r, ns, "shop", &servingv1.Service{})
	s.Spec.Template.Name, s.Spec.Template.Spec.Containers[0].Image = "shop-00001", "shop:v2"
	r.change(t, ns, "shop", func(now *servingv1.Service) { now.Spec = s.Spec })
	want := `False RevisionNameTaken: The revision name "shop-00001" is taken by a conflicting Revision, so traffic will not be migrated`
	r.eventually(t, ns, "shop", "the name is not given away", func(s *servingv1.Service) bool {
		return condition(s, servingv1.ServiceConditionRoutesReady) == want
	})
	if now := get(t, r, ns, "shop-00001", &servingv1.Revision{}); now.Spec.Containers[0].Image != "shop:v1" || now.UID != rev.UID {
		t.Errorf("%+v", now.Spec)
	}
}

// Knative's annotations may be written in two ways. Whichever it is, autoscaler and Deployment get what the user means.
func annotationsCountInEitherSpelling(t *testing.T, r *rig) {
	ns := r.namespace(t, "spelling")
	for name, annotations := range map[string]map[string]string{
		"kebab": {"autoscaling.knative.dev/min-scale": "2", "autoscaling.knative.dev/max-scale": "5", "autoscaling.knative.dev/initial-scale": "3"},
		"camel": {"autoscaling.knative.dev/minScale": "2", "autoscaling.knative.dev/maxScale": "5", "autoscaling.knative.dev/initialScale": "3"},
	} {
		s := newService(ns, name)
		s.Spec.Template.Annotations = annotations
		r.create(t, s)
	}
	for _, name := range []string{"kebab", "camel"} {
		r.ready(t, ns, name)
		pa := get(t, r, ns, name+"-00001", &autoscalingv1alpha1.PodAutoscaler{})
		policy := autoscaling.ResolvePolicy(pa.Annotations, config.NewSet("cluster.local").Autoscaler, 0)
		d := get(t, r, ns, name+"-00001-deployment", &appsv1.Deployment{})
		if policy.MinScale != 2 || policy.MaxScale != 5 || policy.InitialScale != 3 || *d.Spec.Replicas != 3 {
			t.Errorf("%s: the autoscaler keeps to %d to %d, beginning at %d; the Deployment begins at %d", name, policy.MinScale, policy.MaxScale, policy.InitialScale, *d.Spec.Replicas)
		}
	}
}
