package hpa

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/autoscaling/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func autoscaler(annotations map[string]string) *v1alpha1.PodAutoscaler {
	pa := &v1alpha1.PodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "hpa-service-00001", UID: types.UID("4711"),
			Labels: map[string]string{"serving.knative.dev/revision": "hpa-service-00001"}, Annotations: map[string]string{},
		},
		Spec: v1alpha1.PodAutoscalerSpec{
			ScaleTargetRef: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "hpa-service-00001-deployment"},
		},
	}
	for k, v := range annotations {
		pa.Annotations[autoscaling.GroupName+"/"+k] = v
	}
	pa.Annotations[autoscaling.ClassKey.Name()] = autoscaling.HPA
	return pa
}

func TestTheObjectIsKnatives(t *testing.T) {
	tests := map[string]struct {
		annotations map[string]string
		change      func(*v1alpha1.PodAutoscaler)
	}{
		"cpu-with-bounds":     {annotations: map[string]string{"metric": "cpu", "target": "80", "minScale": "1", "maxScale": "10"}},
		"cpu-rounds-up":       {annotations: map[string]string{"metric": "cpu", "target": "70.2"}},
		"memory-in-mebibytes": {annotations: map[string]string{"metric": "memory", "target": "100.9"}},
		"custom-metric":       {annotations: map[string]string{"metric": "queue_depth", "target": "30"}},
		"no-target":           {},
		"window":              {annotations: map[string]string{"metric": "cpu", "target": "70", "scaleDownDelay": "15m", "window": "60s"}},
		"unreachable": {annotations: map[string]string{"metric": "cpu", "target": "80", "min-scale": "3"},
			change: func(pa *v1alpha1.PodAutoscaler) { pa.Spec.Reachability = v1alpha1.ReachabilityUnreachable }},
	}
	config := autoscaling.DefaultConfig()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pa := autoscaler(tt.annotations)
			if tt.change != nil {
				tt.change(pa)
			}
			got, err := yaml.Marshal(For(pa, &config))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s: got\n%s\nwant\n%s", golden, got, want)
			}
		})
	}
}

func TestClusterDefaultsBoundIt(t *testing.T) {
	config := autoscaling.DefaultConfig()
	config.MinScale, config.MaxScale = 2, 9
	hpa := For(autoscaler(nil), &config)
	if *hpa.Spec.MinReplicas != 2 || hpa.Spec.MaxReplicas != 9 {
		t.Errorf("from %d to %d", *hpa.Spec.MinReplicas, hpa.Spec.MaxReplicas)
	}
}

func TestHugeTargetsDoNotOverflow(t *testing.T) {
	config := autoscaling.DefaultConfig()
	for _, metric := range []string{"cpu", "memory", "queue_depth"} {
		m := For(autoscaler(map[string]string{"metric": metric, "target": "1e300"}), &config).Spec.Metrics[0]
		switch {
		case m.Pods != nil && m.Pods.Target.AverageValue.Sign() <= 0,
			m.Resource != nil && m.Resource.Target.AverageValue != nil && m.Resource.Target.AverageValue.Sign() <= 0,
			m.Resource != nil && m.Resource.Target.AverageUtilization != nil && *m.Resource.Target.AverageUtilization != math.MaxInt32:
			t.Errorf("%s: %+v", metric, m)
		}
	}
}

func TestTheObjectSharesNothingWithItsOwner(t *testing.T) {
	config := autoscaling.DefaultConfig()
	pa := autoscaler(nil)
	hpa := For(pa, &config)
	hpa.Labels["a"], hpa.Annotations["a"] = "b", "b"
	if pa.Labels["a"] != "" || pa.Annotations["a"] != "" {
		t.Error("a change of the HPA changed the PodAutoscaler")
	}
}
