package hpa

import (
	"maps"
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/autoscaling/v1alpha1"
)

// For returns the HorizontalPodAutoscaler of a PodAutoscaler, which it belongs to.
//
// Without a target annotation it names no metric, and Kubernetes takes its own default (CPU at 80 %). An HPA keeps at least
// one replica, so min-scale 0 is left to Kubernetes' default of 1.
func For(pa *v1alpha1.PodAutoscaler, config *autoscaling.Config) *autoscalingv2.HorizontalPodAutoscaler {
	policy := autoscaling.ResolvePolicy(pa.Annotations, config, pa.Spec.ContainerConcurrency)
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pa.Namespace, Name: pa.Name, Labels: maps.Clone(pa.Labels), Annotations: maps.Clone(pa.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(pa, v1alpha1.SchemeGroupVersion.WithKind("PodAutoscaler"))},
		},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{
				APIVersion: pa.Spec.ScaleTargetRef.APIVersion, Kind: pa.Spec.ScaleTargetRef.Kind, Name: pa.Spec.ScaleTargetRef.Name,
			},
			MaxReplicas: math.MaxInt32,
			Metrics:     metrics(pa.Annotations, policy.Metric),
			Behavior:    behavior(pa.Annotations, policy.StableWindow),
		},
	}
	if policy.MaxScale > 0 {
		hpa.Spec.MaxReplicas = policy.MaxScale
	}
	if policy.MinScale > 0 && pa.Reachable() {
		hpa.Spec.MinReplicas = &policy.MinScale
	}
	return hpa
}

// metrics names the metric to keep at the target: a percentage for CPU, MiB for memory, an average for anything else.
func metrics(annotations map[string]string, metric string) []autoscalingv2.MetricSpec {
	target, written := autoscaling.WrittenTarget(annotations)
	if !written {
		return nil
	}
	switch metric {
	case autoscaling.CPU:
		percent := int32(math.Min(math.MaxInt32, math.Ceil(target)))
		return resourceMetric(corev1.ResourceCPU, autoscalingv2.MetricTarget{
			Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent,
		})
	case autoscaling.Memory:
		return resourceMetric(corev1.ResourceMemory, autoscalingv2.MetricTarget{
			Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(whole(target, 1<<20), resource.BinarySI),
		})
	}
	return []autoscalingv2.MetricSpec{{
		Type: autoscalingv2.PodsMetricSourceType,
		Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: metric},
			Target: autoscalingv2.MetricTarget{
				Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(whole(target, 1), resource.DecimalSI),
			},
		},
	}}
}

func resourceMetric(name corev1.ResourceName, target autoscalingv2.MetricTarget) []autoscalingv2.MetricSpec {
	return []autoscalingv2.MetricSpec{{
		Type:     autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: name, Target: target},
	}}
}

// whole cuts f to a whole number of units, without overflow.
func whole(f float64, unit int64) int64 {
	return int64(math.Min(f, float64(1<<62/unit))) * unit
}

// behavior smooths both ways over a window that is written; Kubernetes has its own defaults otherwise.
func behavior(annotations map[string]string, window time.Duration) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	if _, _, written := autoscaling.WindowKey.Get(annotations); !written {
		return nil
	}
	seconds := int32(window.Seconds())
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{
		ScaleUp:   &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &seconds},
		ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &seconds},
	}
}
