package autoscaling

import (
	"math"
	"time"
)

// Policy is everything that decides how one revision scales: its annotations over config-autoscaler over the defaults.
// It is a plain value: equal policies compare equal, and it survives a round trip through JSON.
type Policy struct {
	// Class is the autoscaler: KPA, HPA or another's.
	Class string `json:"class"`
	// Metric is what is measured.
	Metric string `json:"metric"`
	// Algorithm is how a window is averaged: Linear or WeightedExponential.
	Algorithm string `json:"algorithm"`

	// Target is the demand to aim for in each replica, in units of Metric. At least TargetMin.
	Target float64 `json:"target"`
	// Total is the demand a replica could take; Target is Total times the utilisation.
	Total float64 `json:"total"`
	// ContainerConcurrency is the requests a replica takes at once; 0 is no limit.
	ContainerConcurrency int64 `json:"containerConcurrency"`
	// TargetBurstCapacity is the burst to be ready for, in requests: -1 always buffers, 0 only at zero.
	TargetBurstCapacity float64 `json:"targetBurstCapacity"`

	// BacklogTarget is how many events that wait to be delivered one replica is for; 0 leaves it to the deliveries they become.
	BacklogTarget float64 `json:"backlogTarget,omitempty"`

	// StableWindow and PanicWindow are averaging times, in whole seconds, at least BucketSize.
	StableWindow time.Duration `json:"stableWindow"`
	PanicWindow  time.Duration `json:"panicWindow"`
	// PanicThreshold is a ratio: 2 panics when demand asks for twice the ready replicas.
	PanicThreshold float64 `json:"panicThreshold"`
	// MaxScaleUpRate and MaxScaleDownRate bound desired over ready replicas, and ready over desired. Both exceed 1.
	MaxScaleUpRate   float64 `json:"maxScaleUpRate"`
	MaxScaleDownRate float64 `json:"maxScaleDownRate"`

	// MinScale and MaxScale bound the replicas; MaxScale 0 is no bound.
	MinScale int32 `json:"minScale"`
	MaxScale int32 `json:"maxScale"`
	// InitialScale is how many replicas must have been ready once before the revision counts as initialised.
	InitialScale int32 `json:"initialScale"`
	// ActivationScale is the least number of replicas other than zero; 0 is no rule.
	ActivationScale int32 `json:"activationScale"`
	// ScaleDownDelay is how long demand must stay low before replicas go.
	ScaleDownDelay time.Duration `json:"scaleDownDelay"`

	// ScaleToZero allows the revision to sleep.
	ScaleToZero bool `json:"scaleToZero"`
	// GracePeriod is the longest wait for the buffer to be in the path before the last replica goes.
	GracePeriod time.Duration `json:"gracePeriod"`
	// RetentionPeriod is the least time the last replica stays after the decision to sleep.
	RetentionPeriod time.Duration `json:"retentionPeriod"`
	// ProgressDeadline is how long an activation may take.
	ProgressDeadline time.Duration `json:"progressDeadline"`
}

// ResolvePolicy returns how a revision with these annotations and this containerConcurrency scales.
// An annotation that validation would refuse counts as not written.
func ResolvePolicy(annotations map[string]string, config *Config, containerConcurrency int64) Policy {
	p := Policy{
		Class:                stringOf(annotations, ClassKey, config.Class),
		ContainerConcurrency: containerConcurrency,
		TargetBurstCapacity:  floatOf(annotations, burstRule, config.TargetBurstCapacity),
		BacklogTarget:        floatOf(annotations, backlogRule, 0),
		StableWindow:         durationOf(annotations, windowRule, config.StableWindow),
		PanicThreshold:       floatOf(annotations, panicThresholdRule, config.PanicThresholdPercentage) / 100,
		MaxScaleUpRate:       config.MaxScaleUpRate,
		MaxScaleDownRate:     config.MaxScaleDownRate,
		MinScale:             countOf(annotations, MinScaleKey, config.MinScale),
		MaxScale:             countOf(annotations, MaxScaleKey, config.MaxScale),
		InitialScale:         initialScale(annotations, config),
		ActivationScale:      activationScale(annotations),
		ScaleDownDelay:       durationOf(annotations, scaleDownDelayRule, config.ScaleDownDelay),
		ScaleToZero:          config.ScaleToZero,
		GracePeriod:          config.ScaleToZeroGracePeriod,
		RetentionPeriod:      durationOf(annotations, retentionRule, config.ScaleToZeroPodRetentionPeriod),
		ProgressDeadline:     progressDeadline(annotations, config.ProgressDeadline),
	}
	p.Metric = stringOf(annotations, MetricKey, DefaultMetric(p.Class))
	p.Algorithm = algorithmOf(annotations)
	p.PanicWindow = panicWindow(p.StableWindow, floatOf(annotations, panicWindowRule, config.PanicWindowPercentage))
	p.Target, p.Total = target(annotations, config, p.Metric, containerConcurrency)
	return p
}

// DefaultMetric is what a class measures when nothing is written; "" for a class of someone else.
func DefaultMetric(class string) string {
	switch class {
	case KPA:
		return Concurrency
	case HPA:
		return CPU
	}
	return ""
}

// WrittenTarget returns the target annotation, and whether there is a valid one.
func WrittenTarget(annotations map[string]string) (float64, bool) {
	return writtenFloat(annotations, targetRule)
}

// target returns the demand to aim for in a replica and the demand it could take.
func target(annotations map[string]string, config *Config, metric string, containerConcurrency int64) (aim, total float64) {
	var utilization float64
	switch metric {
	case RPS:
		total, utilization = config.RPSTarget, config.RPSUtilization
	default:
		total, utilization = float64(containerConcurrency), config.ConcurrencyUtilization
		if containerConcurrency == 0 {
			total = config.ConcurrencyTarget
		}
	}
	if written, ok := WrittenTarget(annotations); ok {
		total = written
		if metric == Concurrency && containerConcurrency != 0 {
			// To aim above what a replica takes at once would only fill its queue.
			total = math.Min(written, float64(containerConcurrency))
		}
	}
	if percent, ok := writtenFloat(annotations, utilizationRule); ok {
		utilization = percent / 100
	}
	return math.Max(TargetMin, total*utilization), total
}

// panicWindow rounds to whole seconds, because windows are made of BucketSize.
func panicWindow(stable time.Duration, percentage float64) time.Duration {
	w := time.Duration(float64(stable) * percentage / 100).Round(time.Second)
	return max(w, BucketSize)
}

func initialScale(annotations map[string]string, config *Config) int32 {
	n := countOf(annotations, InitialScaleKey, config.InitialScale)
	if n == 0 && !config.AllowZeroInitialScale {
		return config.InitialScale
	}
	return n
}

func activationScale(annotations map[string]string) int32 {
	if n := countOf(annotations, ActivationScaleKey, 0); n >= ActivationScaleMin {
		return n
	}
	return 0
}

func algorithmOf(annotations map[string]string) string {
	_, raw, _ := MetricAggregationAlgorithmKey.Get(annotations)
	if algorithm, ok := parseAlgorithm(raw); ok {
		return algorithm
	}
	return Linear
}

// progressDeadline has no upper bound of its own: the serving group validates it.
func progressDeadline(annotations map[string]string, fallback time.Duration) time.Duration {
	_, raw, _ := ProgressDeadlineKey.Get(annotations)
	if d, err := time.ParseDuration(raw); err == nil && d > 0 {
		return d
	}
	return fallback
}

func stringOf(annotations map[string]string, key Key, fallback string) string {
	if _, value, found := key.Get(annotations); found && value != "" {
		return value
	}
	return fallback
}

func countOf(annotations map[string]string, key Key, fallback int32) int32 {
	if _, raw, found := key.Get(annotations); found {
		if n, ok := parseCount(raw); ok {
			return n
		}
	}
	return fallback
}

func writtenFloat(annotations map[string]string, rule floatRule) (float64, bool) {
	if _, raw, found := rule.key.Get(annotations); found {
		return rule.parse(raw)
	}
	return 0, false
}

func floatOf(annotations map[string]string, rule floatRule, fallback float64) float64 {
	if f, ok := writtenFloat(annotations, rule); ok {
		return f
	}
	return fallback
}

func durationOf(annotations map[string]string, rule durationRule, fallback time.Duration) time.Duration {
	if _, raw, found := rule.key.Get(annotations); found {
		if d, ok := rule.parse(raw); ok {
			return d
		}
	}
	return fallback
}
