package serving_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/test/apiserver"
)

func aNewServiceCostsAtMostFifteenWrites(t *testing.T, r *rig) {
	ns := r.namespace(t, "writes")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	writes := r.quiet(t, ns)
	t.Logf("%d writes:\n%s", len(writes), tally(writes))
	if len(writes) > 15 {
		t.Errorf("%d writes, at most 15 were promised:\n%s", len(writes), strings.Join(writes, "\n"))
	}
	if slices.ContainsFunc(writes, func(w string) bool { return strings.HasPrefix(w, "PATCH") }) {
		t.Errorf("something was made and then changed:\n%s", strings.Join(writes, "\n"))
	}
}

func nothingIsWrittenWhenNothingHasChanged(t *testing.T, r *rig) {
	ns := r.namespace(t, "resync")
	r.create(t, newService(ns, "shop"))
	s := r.ready(t, ns, "shop")
	before := r.quiet(t, ns)
	// A setting that matters to nobody has every object looked at again.
	for _, name := range []string{config.NetworkName, config.DeploymentName, config.GCName} {
		r.patch(t, name, `{"data":{"nobody-knows":"this"}}`)
	}
	// And so has an edit that comes to nothing.
	r.change(t, ns, "shop", func(*servingv1.Service) {})
	after := r.quiet(t, ns)
	if len(after) != len(before) {
		t.Errorf("written for nothing:\n%s", strings.Join(after[len(before):], "\n"))
	}
	if now := get(t, r, ns, "shop", &servingv1.Service{}); now.ResourceVersion != s.ResourceVersion {
		t.Errorf("changed from\n%+v to\n%+v", s.Status, now.Status)
	}
}

func nothingIsWrittenUntilAWakeIsThrough(t *testing.T, r *rig) {
	ns := r.namespace(t, "wake")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	before := r.quiet(t, ns)

	// What the autoscaler does, and in this order.
	d := get(t, r, ns, "shop-00001-deployment", &appsv1.Deployment{})
	scaled := d.DeepCopy()
	scaled.Spec.Replicas = ptr.To[int32](1)
	if err := r.api.Patch(t.Context(), scaled, client.MergeFrom(d)); err != nil {
		t.Fatal(err)
	}
	r.autoscaler(t, ns, func(s *autoscalingv1alpha1.PodAutoscalerStatus) {
		s.Mark(metav1.Now()).Activating("Queued", "")
		s.DesiredScale = ptr.To[int32](1)
	})
	if writes := r.quiet(t, ns); len(writes) != len(before) {
		t.Errorf("written on the way of a waking request:\n%s", strings.Join(writes[len(before):], "\n"))
	}
	r.autoscaler(t, ns, func(s *autoscalingv1alpha1.PodAutoscalerStatus) {
		s.Mark(metav1.Now()).Active()
		s.ActualScale = ptr.To[int32](1)
	})
	apiserver.Eventually(t, "the revision says that it is active", func(ctx context.Context) bool {
		rev := &servingv1.Revision{}
		return r.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: "shop-00001"}, rev) == nil &&
			rev.Status.GetCondition(servingv1.RevisionConditionActive).IsTrue() && ptr.Deref(rev.Status.ActualReplicas, 0) == 1
	})
	if writes := r.quiet(t, ns)[len(before):]; len(writes) != 1 {
		t.Errorf("one status was to be written:\n%s", strings.Join(writes, "\n"))
	}
}

// autoscaler writes the status of the PodAutoscaler of shop-00001 as the autoscaler would.
func (r *rig) autoscaler(t *testing.T, namespace string, edit func(*autoscalingv1alpha1.PodAutoscalerStatus)) {
	t.Helper()
	pa := get(t, r, namespace, "shop-00001", &autoscalingv1alpha1.PodAutoscaler{})
	edit(&pa.Status)
	if err := r.api.Status().Update(t.Context(), pa); err != nil {
		t.Fatal(err)
	}
}

func aNewRevisionTakesOver(t *testing.T, r *rig) {
	ns := r.namespace(t, "update")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	before := r.quiet(t, ns)
	r.change(t, ns, "shop", func(s *servingv1.Service) { s.Spec.Template.Spec.Containers[0].Image = "shop:v2" })
	s := r.ready(t, ns, "shop")
	if s.Status.LatestReadyRevisionName != "shop-00002" || s.Status.Traffic[0].RevisionName != "shop-00002" {
		t.Errorf("%+v", s.Status)
	}
	if i := r.gateways.get(ns, "shop"); i.Spec.Rules[0].HTTP.Paths[0].Splits[0].ServiceName != "shop-00002" {
		t.Errorf("the gateways send to %+v", i.Spec.Rules[0])
	}
	apiserver.Eventually(t, "the old revision is in reserve", func(ctx context.Context) bool {
		rev := &servingv1.Revision{}
		return r.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: "shop-00001"}, rev) == nil &&
			rev.RoutingState() == servingv1.RoutingStateReserve && rev.Annotations["serving.knative.dev/routes"] == ""
	})
	pa := get(t, r, ns, "shop-00001", &autoscalingv1alpha1.PodAutoscaler{})
	apiserver.Eventually(t, "the old revision is out of reach", func(ctx context.Context) bool {
		return r.api.Get(ctx, client.ObjectKeyFromObject(pa), pa) == nil && pa.Spec.Reachability == autoscalingv1alpha1.ReachabilityUnreachable
	})
	// Four children, five statuses, the changes of Configuration and KIngress, and the old revision put in reserve.
	writes := r.quiet(t, ns)[len(before):]
	t.Logf("%d writes:\n%s", len(writes), tally(writes))
	if len(writes) > 14 {
		t.Errorf("%d writes, at most 14 were promised:\n%s", len(writes), strings.Join(writes, "\n"))
	}
}

func trafficGoesBackWhereItIsPointed(t *testing.T, r *rig) {
	ns := r.namespace(t, "rollback")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	r.change(t, ns, "shop", func(s *servingv1.Service) { s.Spec.Template.Spec.Containers[0].Image = "shop:v2" })
	r.ready(t, ns, "shop")
	r.change(t, ns, "shop", func(s *servingv1.Service) {
		s.Spec.Traffic = []servingv1.TrafficTarget{
			{RevisionName: "shop-00001", Percent: ptr.To[int64](100)}, {LatestRevision: ptr.To(true), Percent: ptr.To[int64](0), Tag: "next"},
		}
	})
	s := r.ready(t, ns, "shop")
	if s.Status.Traffic[0].RevisionName != "shop-00001" || s.Status.LatestReadyRevisionName != "shop-00002" {
		t.Errorf("%+v", s.Status)
	}
	if want := "http://next-shop.rollback.example.com:8080"; s.Status.Traffic[1].URL != want || s.Status.URL != "http://shop.rollback.example.com:8080" {
		t.Errorf("URLs %s and %s", s.Status.URL, s.Status.Traffic[1].URL)
	}
	i := r.gateways.get(ns, "shop")
	if got := i.Spec.Rules[0].HTTP.Paths[0].Splits[0].ServiceName; got != "shop-00001" || len(i.Spec.Rules) != 4 {
		t.Errorf("the gateways send to %s, by %d rules", got, len(i.Spec.Rules))
	}
	// A new revision does not take traffic that is pinned, and is not taken for one in use.
	r.change(t, ns, "shop", func(s *servingv1.Service) {
		s.Spec.Traffic = s.Spec.Traffic[:1]
		s.Spec.Template.Spec.Containers[0].Image = "shop:v3"
	})
	s = r.ready(t, ns, "shop")
	if s.Status.Traffic[0].RevisionName != "shop-00001" || len(s.Status.Traffic) != 1 {
		t.Errorf("%+v", s.Status)
	}
	apiserver.Eventually(t, "the revision without traffic is in reserve", func(ctx context.Context) bool {
		rev := &servingv1.Revision{}
		return r.api.Get(ctx, client.ObjectKey{Namespace: ns, Name: "shop-00003"}, rev) == nil && rev.RoutingState() == servingv1.RoutingStateReserve
	})
}

func aRolloutMovesTrafficInSteps(t *testing.T, r *rig) {
	ns := r.namespace(t, "rollout")
	s := newService(ns, "shop")
	s.Annotations = map[string]string{"serving.knative.dev/rollout-duration": "3s"}
	r.create(t, s)
	r.ready(t, ns, "shop")
	r.change(t, ns, "shop", func(s *servingv1.Service) { s.Spec.Template.Spec.Containers[0].Image = "shop:v2" })
	shares := map[int]bool{}
	r.eventually(t, ns, "shop", "the new revision has everything", func(s *servingv1.Service) bool {
		total := 0
		for _, split := range r.gateways.get(ns, "shop").Spec.Rules[0].HTTP.Paths[0].Splits {
			total += split.Percent
			if split.ServiceName == "shop-00002" {
				shares[split.Percent] = true
			}
		}
		if total != 100 {
			t.Errorf("the gateways send out %d percent", total)
		}
		return s.IsReady() && len(s.Status.Traffic) == 1 && s.Status.Traffic[0].RevisionName == "shop-00002"
	})
	if len(shares) < 3 || !shares[1] {
		t.Errorf("the new revision had shares of %v percent, want 1, some between, and 100", slices.Sorted(maps.Keys(shares)))
	}
}

func aMissingRevisionIsToldAndAwaited(t *testing.T, r *rig) {
	ns := r.namespace(t, "missing")
	s := newService(ns, "shop")
	s.Spec.Template.Name = "shop-v2"
	s.Spec.Traffic = []servingv1.TrafficTarget{
		{RevisionName: "shop-v1", Percent: ptr.To[int64](80)}, {RevisionName: "shop-v2", Percent: ptr.To[int64](20)},
	}
	r.create(t, s)
	want := `False RevisionMissing: Revision "shop-v1" referenced in traffic not found.`
	r.eventually(t, ns, "shop", "the missing revision is told", func(s *servingv1.Service) bool {
		return condition(s, servingv1.ServiceConditionReady) == want && condition(s, servingv1.ServiceConditionConfigurationsReady) == "True : "
	})
	r.change(t, ns, "shop", func(s *servingv1.Service) {
		s.Spec.Template.Name, s.Spec.Template.Spec.Containers[0].Image = "shop-v1", "shop:v1"
		s.Spec.Template.Spec.Containers[0].Env = nil
	})
	healed := r.ready(t, ns, "shop")
	if len(healed.Status.Traffic) != 2 || *healed.Status.Traffic[0].Percent != 80 {
		t.Errorf("%+v", healed.Status.Traffic)
	}
}

func anImageThatCannotBeHadIsToldEverywhere(t *testing.T, r *rig) {
	ns := r.namespace(t, "image")
	r.images.set("nowhere:v1", true)
	s := newService(ns, "shop")
	s.Spec.Template.Spec.Containers[0].Image = "nowhere:v1"
	begin := time.Now()
	r.create(t, s)
	why := `Unable to fetch image "nowhere:v1": failed to resolve image to digest: it is not in the local store and no registry is in reach`
	r.eventually(t, ns, "shop", "the Service tells of the image", func(s *servingv1.Service) bool {
		return condition(s, servingv1.ServiceConditionConfigurationsReady) == `False RevisionFailed: Revision "shop-00001" failed with message: `+why+"." &&
			condition(s, servingv1.ServiceConditionRoutesReady) == `False RevisionMissing: Configuration "shop" does not have any ready Revision.`
	})
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("told after %v", took)
	}
	rev := get(t, r, ns, "shop-00001", &servingv1.Revision{})
	if c := rev.Status.GetCondition(servingv1.RevisionConditionContainerHealthy); !c.IsFalse() || c.Reason != "ContainerMissing" || c.Message != why {
		t.Errorf("%+v", c)
	}
	if d := (&appsv1.Deployment{}); r.api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "shop-00001-deployment"}, d) == nil {
		t.Error("a Deployment is there for an image that is not")
	}
	r.images.set("nowhere:v1", false)
	r.changed <- struct{}{}
	r.ready(t, ns, "shop")
	d := get(t, r, ns, "shop-00001-deployment", &appsv1.Deployment{})
	if got := d.Spec.Template.Spec.Containers[0].Image; got != "index.docker.io/library/nowhere@"+digest {
		t.Errorf("runs %s", got)
	}
}
