package v1alpha1

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/networking"
)

var noon = metav1.NewTime(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))

func valid() *PodAutoscaler {
	return &PodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-00001"},
		Spec: PodAutoscalerSpec{
			ScaleTargetRef: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop-00001-deployment"},
			ProtocolType:   networking.ProtocolHTTP1,
		},
	}
}

func TestTheKindIsKnownToASchemeUnderKnativesGroup(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kinds, _, err := scheme.ObjectKinds(&PodAutoscaler{})
	if err != nil || len(kinds) != 1 || kinds[0].String() != "autoscaling.internal.knative.dev/v1alpha1, Kind=PodAutoscaler" {
		t.Errorf("%v, %v", kinds, err)
	}
}

func TestTheWireFormatIsKnatives(t *testing.T) {
	pa := valid()
	pa.Spec.ContainerConcurrency, pa.Spec.Reachability = 10, ReachabilityReachable
	desired, actual := int32(3), int32(2)
	pa.Status.ServiceName, pa.Status.MetricsServiceName = "shop-00001", "shop-00001"
	pa.Status.DesiredScale, pa.Status.ActualScale = &desired, &actual
	marks := pa.Status.Mark(noon)
	marks.SKSReady()
	marks.ScaleTargetInitialized()
	marks.Active()
	got, err := json.Marshal(pa)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(got, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "metadata")
	condition := func(kind string) any {
		return map[string]any{"type": kind, "status": "True", "lastTransitionTime": "2026-11-21T12:00:00Z"}
	}
	want := map[string]any{
		"spec": map[string]any{
			"containerConcurrency": 10., "reachability": "Reachable", "protocolType": "http1",
			"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop-00001-deployment"},
		},
		"status": map[string]any{
			"serviceName": "shop-00001", "metricsServiceName": "shop-00001", "desiredScale": 3., "actualScale": 2.,
			"conditions": []any{condition("Active"), condition("Ready"), condition("SKSReady"), condition("ScaleTargetInitialized")},
		},
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestActiveDecidesReady(t *testing.T) {
	pa := valid()
	marks := pa.Status.Mark(noon)
	marks.Initialize()
	if !pa.Status.IsActivating() || pa.Status.IsScaleTargetInitialized() {
		t.Error("a new PodAutoscaler is neither activating nor uninitialised")
	}
	marks.SKSReady()
	marks.ScaleTargetInitialized()
	marks.Active()
	if !pa.IsReady() || !pa.Status.IsActive() {
		t.Errorf("not ready: %+v", pa.Status.Conditions)
	}
	later := metav1.NewTime(noon.Add(time.Minute))
	pa.Status.Mark(later).Inactive(ReasonNoTraffic, MessageNoTraffic)
	ready := pa.Status.GetCondition(PodAutoscalerConditionReady)
	if pa.IsReady() || !pa.Status.IsInactive() || ready.Reason != ReasonNoTraffic || !pa.Status.ActiveSince().Equal(later.Time) {
		t.Errorf("asleep: %+v", pa.Status.Conditions)
	}
	pa.Status.Mark(later).Activating(ReasonQueued, MessageQueued)
	if !pa.Status.IsActivating() || !pa.Status.GetCondition(PodAutoscalerConditionReady).IsUnknown() {
		t.Errorf("activating: %+v", pa.Status.Conditions)
	}
	pa.Status.Mark(later).ResourceNotOwned("Deployment", "shop")
	if c := pa.Status.GetCondition(PodAutoscalerConditionActive); c.Reason != "NotOwned" || c.Message != `There is an existing Deployment "shop" that we do not own.` {
		t.Errorf("not owned: %+v", c)
	}
	pa.Status.Mark(later).SKSNotReady("no gateway serves it")
	if c := pa.Status.GetCondition(PodAutoscalerConditionSKSReady); !c.IsUnknown() || c.Reason != "NotReady" {
		t.Errorf("SKS: %+v", c)
	}
	pa.Generation = 2
	if pa.IsReady() {
		t.Error("ready for a generation that nobody has seen")
	}
}

func TestClassAndMetricAreFilledIn(t *testing.T) {
	config := autoscaling.DefaultConfig()
	pa := valid()
	pa.SetDefaults(&config)
	want := map[string]string{"autoscaling.knative.dev/class": autoscaling.KPA, "autoscaling.knative.dev/metric": autoscaling.Concurrency}
	if diff := cmp.Diff(want, pa.Annotations); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	pa.Annotations = map[string]string{"autoscaling.knative.dev/class": autoscaling.HPA}
	pa.SetDefaults(&config)
	if pa.Class() != autoscaling.HPA || pa.Annotations["autoscaling.knative.dev/metric"] != autoscaling.CPU {
		t.Errorf("annotations %v", pa.Annotations)
	}
	if valid().Class() != autoscaling.KPA {
		t.Error("without an annotation the class is not the KPA")
	}
}

func TestPodAutoscalersAreValidated(t *testing.T) {
	tests := []struct {
		name   string
		change func(*PodAutoscaler)
		want   string
	}{
		{"valid", func(*PodAutoscaler) {}, ""},
		{"no target", func(pa *PodAutoscaler) { pa.Spec.ScaleTargetRef.Name = "" }, "spec.scaleTargetRef.name: Required"},
		{"no kind", func(pa *PodAutoscaler) { pa.Spec.ScaleTargetRef.Kind = "" }, "spec.scaleTargetRef.kind: Required"},
		{"negative concurrency", func(pa *PodAutoscaler) { pa.Spec.ContainerConcurrency = -1 }, "spec.containerConcurrency: Invalid"},
		{"no protocol", func(pa *PodAutoscaler) { pa.Spec.ProtocolType = "" }, "spec.protocolType: Required"},
		{"unknown protocol", func(pa *PodAutoscaler) { pa.Spec.ProtocolType = "spdy" }, `spec.protocolType: Unsupported value: "spdy"`},
		{"annotations", func(pa *PodAutoscaler) {
			pa.Annotations = map[string]string{"autoscaling.knative.dev/min-scale": "x"}
		}, "metadata.annotations[autoscaling.knative.dev/min-scale]: Invalid"},
	}
	config := autoscaling.DefaultConfig()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pa := valid()
			tt.change(pa)
			errs := pa.Validate(&config)
			switch {
			case tt.want == "" && len(errs) != 0:
				t.Errorf("refused: %v", errs)
			case tt.want != "" && (len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), tt.want)):
				t.Errorf("got %v, want %s", errs, tt.want)
			}
		})
	}
}
