package serving_test

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/test/apiserver"
)

func aCrashIsToldEverywhere(t *testing.T, r *rig) {
	ns := r.namespace(t, "crash")
	r.scaler.hold(ns, true)
	s := newService(ns, "shop")
	s.Spec.Template.Annotations["autoscaling.knative.dev/initial-scale"] = "1"
	r.create(t, s)
	pod := r.crash(t, ns)
	want := `False RevisionFailed: Revision "shop-00001" failed with message: Container failed with: panic: no database.`
	r.eventually(t, ns, "shop", "the Service tells of the crash", func(s *servingv1.Service) bool {
		return condition(s, servingv1.ServiceConditionConfigurationsReady) == want
	})
	rev := get(t, r, ns, "shop-00001", &servingv1.Revision{})
	if c := rev.Status.GetCondition(servingv1.RevisionConditionReady); c.Reason != "ExitCode3" {
		t.Errorf("%+v", c)
	}
	events := r.Kubectl(t, "", "get", "events", "-n", ns, "-o", "custom-columns=K:.involvedObject.kind,R:.reason,M:.message")
	for _, want := range []string{"Created Deployment", "ExitCode3: Container failed with: panic: no database", "LatestCreatedFailed"} {
		if !strings.Contains(events, want) {
			t.Errorf("no event says %q:\n%s", want, events)
		}
	}
	// It comes up after all.
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	pod.Status.ContainerStatuses[0].Ready = true
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
	if err := r.api.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	r.scaler.hold(ns, false)
	r.ready(t, ns, "shop")
}

// crash says of the only pod of shop-00001 what a kubelet would of one that crashes.
func (r *rig) crash(t *testing.T, namespace string) *corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	apiserver.Eventually(t, "there is a pod", func(ctx context.Context) bool {
		return r.api.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"serving.knative.dev/revision": "shop-00001"}) == nil && len(pods.Items) == 1
	})
	pod := &pods.Items[0]
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "user-container", Image: "shop:v1",
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Message: "panic: no database"}},
	}}
	if err := r.api.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// A revision that has been ready once may crash when it is woken. It says so while it does; the next request may find it well.
func aCrashOnAWakeEndsWithTheWake(t *testing.T, r *rig) {
	ns := r.namespace(t, "crash-on-wake")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	scale := func(n int32) {
		t.Helper()
		d := get(t, r, ns, "shop-00001-deployment", &appsv1.Deployment{})
		d.Spec.Replicas = ptr.To(n)
		if err := r.api.Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	scale(1)
	r.crash(t, ns)
	r.eventually(t, ns, "shop", "the Service tells of the crash", func(s *servingv1.Service) bool {
		return condition(s, servingv1.ServiceConditionConfigurationsReady) == `False RevisionFailed: Revision "shop-00001" failed with message: Container failed with: panic: no database.` &&
			condition(s, servingv1.ServiceConditionRoutesReady) == `False RevisionMissing: Revision "shop-00001" failed to become ready.`
	})
	if r.gateways.get(ns, "shop") == nil {
		t.Error("the gateways have forgotten the Service: it could not be woken again")
	}
	scale(0)
	r.ready(t, ns, "shop")
}

func aMissedDeadlineIsTold(t *testing.T, r *rig) {
	ns := r.namespace(t, "deadline")
	r.scaler.hold(ns, true)
	s := newService(ns, "shop")
	s.Spec.Template.Annotations["autoscaling.knative.dev/initial-scale"] = "1"
	s.Spec.Template.Annotations["serving.knative.dev/progress-deadline"] = "2s"
	r.create(t, s)
	// No node takes its pod, and the Deployment gives up.
	r.eventually(t, ns, "shop", "the Service tells of the deadline", func(s *servingv1.Service) bool {
		told := condition(s, servingv1.ServiceConditionConfigurationsReady)
		return strings.HasPrefix(told, `False RevisionFailed: Revision "shop-00001" failed with message: ReplicaSet "shop-00001-deployment-`) &&
			strings.Contains(told, "timed out progressing")
	})
	rev := get(t, r, ns, "shop-00001", &servingv1.Revision{})
	if c := rev.Status.GetCondition(servingv1.RevisionConditionResourcesAvailable); !c.IsFalse() || c.Reason != servingv1.ReasonProgressDeadlineExceeded {
		t.Errorf("%+v", c)
	}
	r.scaler.hold(ns, false)
}

func aTakenHostIsTold(t *testing.T, r *rig) {
	ns := r.namespace(t, "taken")
	r.gateways.take("shop.taken.example.com")
	r.create(t, newService(ns, "shop"))
	want := "False Refused: host shop.taken.example.com is taken by Ingress other/shop"
	r.eventually(t, ns, "shop", "the refusal is told", func(s *servingv1.Service) bool {
		return condition(s, servingv1.ServiceConditionReady) == want
	})
	r.gateways.take("")
	r.ready(t, ns, "shop")
}

func whatIsAnothersIsToldAndLeftAlone(t *testing.T, r *rig) {
	ns := r.namespace(t, "others")
	theirs := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "shop"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	// Not in the cache, which holds the Deployments of revisions alone.
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "cart-00001-deployment"}}
	deployment.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	deployment.Spec.Template.Labels = map[string]string{"a": "b"}
	deployment.Spec.Replicas = ptr.To[int32](0)
	deployment.Spec.Template.Spec.Containers = []corev1.Container{{Name: "a", Image: "a"}}
	r.create(t, theirs, deployment, newService(ns, "shop"), newService(ns, "cart"))
	r.eventually(t, ns, "shop", "the other Service is told", func(s *servingv1.Service) bool {
		return condition(s, servingv1.ServiceConditionRoutesReady) == `False NotOwned: There is an existing placeholder Service "shop" that we do not own.`
	})
	r.eventually(t, ns, "cart", "the other Deployment is told", func(s *servingv1.Service) bool {
		return strings.Contains(condition(s, servingv1.ServiceConditionConfigurationsReady), `There is an existing Deployment "cart-00001-deployment" that we do not own.`)
	})
	if err := r.api.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	r.ready(t, ns, "shop")
	if s := get(t, r, ns, "shop", &corev1.Service{}); s.Spec.ExternalName != "ebb-gateway-internal.ebb-system.svc.cluster.local" {
		t.Errorf("%+v", s.Spec)
	}
}

func routesWithoutServicesWork(t *testing.T, r *rig) {
	ns := r.namespace(t, "bare")
	c := &servingv1.Configuration{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "shop"}}
	c.Spec.Template = newService(ns, "shop").Spec.Template
	rt := &servingv1.Route{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "front"}}
	rt.Spec.Traffic = []servingv1.TrafficTarget{{ConfigurationName: "shop", Percent: ptr.To[int64](100)}}
	r.create(t, c, rt)
	apiserver.Eventually(t, "the Route is ready", func(ctx context.Context) bool {
		return r.api.Get(ctx, client.ObjectKeyFromObject(rt), rt) == nil && rt.IsReady()
	})
	rev := &servingv1.Revision{}
	routes := func(want string, state servingv1.RoutingState) {
		t.Helper()
		apiserver.Eventually(t, "the revision knows its routes: "+want, func(ctx context.Context) bool {
			return r.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: "shop-00001"}, rev) == nil &&
				rev.Annotations["serving.knative.dev/routes"] == want && rev.RoutingState() == state
		})
	}
	routes("front", servingv1.RoutingStateActive)
	if err := r.api.Delete(t.Context(), rt); err != nil {
		t.Fatal(err)
	}
	routes("", servingv1.RoutingStateReserve)
}

func oldRevisionsAreCollected(t *testing.T, r *rig) {
	ns := r.namespace(t, "collect")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	for _, image := range []string{"shop:v2", "shop:v3"} {
		r.change(t, ns, "shop", func(s *servingv1.Service) { s.Spec.Template.Spec.Containers[0].Image = image })
		r.ready(t, ns, "shop")
	}
	keep := get(t, r, ns, "shop-00002", &servingv1.Revision{})
	if err := r.api.Patch(t.Context(), keep, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"serving.knative.dev/no-gc":"true"}}}`))); err != nil {
		t.Fatal(err)
	}
	r.patch(t, config.GCName, `{"data":{"min-non-active-revisions":"0","max-non-active-revisions":"0","retain-since-create-time":"disabled","retain-since-last-active-time":"disabled"}}`)
	defer r.patch(t, config.GCName, `{"data":{"min-non-active-revisions":"20","max-non-active-revisions":"1000","retain-since-create-time":"48h","retain-since-last-active-time":"15h"}}`)
	apiserver.Eventually(t, "the first revision is collected, with its Deployment", func(ctx context.Context) bool {
		return client.IgnoreNotFound(r.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: "shop-00001"}, &servingv1.Revision{})) == nil &&
			r.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: "shop-00001"}, &servingv1.Revision{}) != nil &&
			r.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: "shop-00001-deployment"}, &appsv1.Deployment{}) != nil
	})
	r.quiet(t, ns)
	get(t, r, ns, "shop-00002", &servingv1.Revision{})
	get(t, r, ns, "shop-00003", &servingv1.Revision{})
	r.ready(t, ns, "shop")
}

func aDeletedServiceTakesItsChildrenAlong(t *testing.T, r *rig) {
	ns := r.namespace(t, "delete")
	s := newService(ns, "shop")
	r.create(t, s)
	r.ready(t, ns, "shop")
	if err := r.api.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, list := range []client.ObjectList{
		&servingv1.ConfigurationList{}, &servingv1.RouteList{}, &servingv1.RevisionList{}, &networkingv1alpha1.IngressList{},
		&autoscalingv1alpha1.PodAutoscalerList{}, &appsv1.DeploymentList{}, &corev1.ServiceList{},
	} {
		apiserver.Eventually(t, "nothing is left", func(ctx context.Context) bool {
			var left metav1.PartialObjectMetadataList
			kind, err := r.api.GroupVersionKindFor(list)
			if err != nil {
				t.Fatal(err)
			}
			left.SetGroupVersionKind(kind)
			return r.api.List(ctx, &left, client.InNamespace(ns)) == nil && len(left.Items) == 0
		})
	}
	apiserver.Eventually(t, "the gateways have forgotten it", func(context.Context) bool { return r.gateways.get(ns, "shop") == nil })
	for _, w := range r.quiet(t, ns)[14:] {
		if strings.HasPrefix(w, "POST") {
			t.Errorf("made anew while everything goes: %s", w)
		}
	}
}

func theProxyMovesWithTheNamespacesLabel(t *testing.T, r *rig) {
	ns := r.namespace(t, "proxy")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	proxy := func() string {
		return get(t, r, ns, "shop-00001-deployment", &appsv1.Deployment{}).Spec.Template.Labels["ebb.dev/replica-proxy"]
	}
	if got := proxy(); got != "node" {
		t.Errorf("by default: %s", got)
	}
	namespace := get(t, r, "", ns, &corev1.Namespace{})
	if err := r.api.Patch(t.Context(), namespace, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"ebb.dev/replica-proxy":"sidecar"}}}`))); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "the pods have sidecars", func(context.Context) bool { return proxy() == "sidecar" })
}
