package autoscaling

import "time"

const (
	// GroupName is the public group: the prefix of annotations.
	GroupName = "autoscaling.knative.dev"
	// EbbGroupName is the prefix of annotations that Knative does not have.
	EbbGroupName = "autoscaling.ebb.dev"
	// InternalGroupName is the API group of PodAutoscaler.
	InternalGroupName = "autoscaling.internal.knative.dev"
)

// Autoscaler classes, values of ClassKey.
const (
	// KPA is the Knative pod autoscaler: concurrency or requests per second, to zero and back.
	KPA = "kpa.autoscaling.knative.dev"
	// HPA is the Kubernetes horizontal pod autoscaler: CPU, memory or a custom metric, never to zero.
	HPA = "hpa.autoscaling.knative.dev"
)

// Metrics, values of MetricKey.
const (
	// Concurrency is requests in flight.
	Concurrency = "concurrency"
	// RPS is requests per second.
	RPS = "rps"
	// CPU is used CPU in percent of what the pod requests (HPA only).
	CPU = "cpu"
	// Memory is used memory in MiB (HPA only).
	Memory = "memory"
)

// Aggregation algorithms, values of MetricAggregationAlgorithmKey.
const (
	// Linear weighs every second of the window equally.
	Linear = "linear"
	// WeightedExponential weighs recent seconds more.
	WeightedExponential = "weighted-exponential"
	// weightedExponentialAlias is the older spelling of WeightedExponential.
	weightedExponentialAlias = "weightedExponential"
)

// Bounds that annotations and ConfigMap must keep.
const (
	// TargetMin is the least target, in units of the metric.
	TargetMin = 0.01
	// WindowMin and WindowMax bound the stable window, and WindowMax the delays.
	WindowMin = 6 * time.Second
	WindowMax = time.Hour
	// PanicWindowPercentageMin and PanicWindowPercentageMax bound the panic window, in percent of the stable window.
	PanicWindowPercentageMin = 1.0
	PanicWindowPercentageMax = 100.0
	// PanicThresholdPercentageMin and PanicThresholdPercentageMax bound the annotation, in percent of what is ready.
	PanicThresholdPercentageMin = 110.0
	PanicThresholdPercentageMax = 1000.0
	// ActivationScaleMin is the least activation scale: 1 would say nothing.
	ActivationScaleMin = 2
	// BucketSize is the granularity of measurement windows, and the least panic window.
	BucketSize = time.Second
)

// Key is an annotation's name and its accepted older spellings, the preferred one first.
type Key []string

// The annotations on a revision template. Those without a second spelling never had one.
var (
	ClassKey                      = Key{GroupName + "/class"}
	MetricKey                     = Key{GroupName + "/metric"}
	TargetKey                     = Key{GroupName + "/target"}
	WindowKey                     = Key{GroupName + "/window"}
	ActivationScaleKey            = Key{GroupName + "/activation-scale"}
	MinScaleKey                   = Key{GroupName + "/min-scale", GroupName + "/minScale"}
	MaxScaleKey                   = Key{GroupName + "/max-scale", GroupName + "/maxScale"}
	InitialScaleKey               = Key{GroupName + "/initial-scale", GroupName + "/initialScale"}
	ScaleDownDelayKey             = Key{GroupName + "/scale-down-delay", GroupName + "/scaleDownDelay"}
	MetricAggregationAlgorithmKey = Key{GroupName + "/metric-aggregation-algorithm", GroupName + "/metricAggregationAlgorithm"}
	TargetUtilizationKey          = Key{GroupName + "/target-utilization-percentage", GroupName + "/targetUtilizationPercentage"}
	TargetBurstCapacityKey        = Key{GroupName + "/target-burst-capacity", GroupName + "/targetBurstCapacity"}
	PanicWindowKey                = Key{GroupName + "/panic-window-percentage", GroupName + "/panicWindowPercentage"}
	PanicThresholdKey             = Key{GroupName + "/panic-threshold-percentage", GroupName + "/panicThresholdPercentage"}
	RetentionPeriodKey            = Key{GroupName + "/scale-to-zero-pod-retention-period", GroupName + "/scaleToZeroPodRetentionPeriod"}

	// BacklogTargetKey is Ebb's own: how many events that wait to be delivered one replica is for.
	BacklogTargetKey = Key{EbbGroupName + "/backlog-target"}

	// ProgressDeadlineKey belongs to the serving group; a failed activation is given up after it.
	ProgressDeadlineKey = Key{"serving.knative.dev/progress-deadline"}
)

// Keys lists every annotation of the autoscaling groups.
func Keys() []Key {
	return []Key{
		ClassKey, MetricKey, TargetKey, WindowKey, ActivationScaleKey, MinScaleKey, MaxScaleKey, InitialScaleKey,
		ScaleDownDelayKey, MetricAggregationAlgorithmKey, TargetUtilizationKey, TargetBurstCapacityKey,
		PanicWindowKey, PanicThresholdKey, RetentionPeriodKey, BacklogTargetKey,
	}
}

// Name returns the preferred spelling.
func (k Key) Name() string { return k[0] }

// Get looks the key up under each spelling, the preferred one first.
// It returns the spelling that was found and its value; without one, the preferred spelling, "" and false.
func (k Key) Get(annotations map[string]string) (name, value string, found bool) {
	for _, name := range k {
		if value, found := annotations[name]; found {
			return name, value, true
		}
	}
	return k.Name(), "", false
}
