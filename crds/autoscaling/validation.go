package autoscaling

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateAnnotations returns what is wrong with the autoscaling annotations of a revision template.
// path is where the annotations are, such as spec.template.metadata.annotations.
func ValidateAnnotations(annotations map[string]string, config *Config, path *field.Path) field.ErrorList {
	v := validator{annotations: annotations, path: path}
	v.class()
	v.scaleBounds(config)
	v.initialScale(config)
	v.floats()
	v.durations()
	v.metric(config)
	v.algorithm()
	v.unknown()
	return v.errs
}

// ForbidAnnotations returns an error for each autoscaling annotation. They belong on the revision template and have no
// effect on a Service, Configuration or Route itself.
func ForbidAnnotations(annotations map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for name := range annotations {
		if strings.HasPrefix(name, GroupName) || strings.HasPrefix(name, EbbGroupName) {
			errs = append(errs, field.Forbidden(path.Key(name),
				`autoscaling annotations must be put under "spec.template.metadata.annotations" to work`))
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return errs
}

// validator collects the errors of one set of annotations.
type validator struct {
	annotations map[string]string
	path        *field.Path
	errs        field.ErrorList
}

func (v *validator) invalid(name string, value any, format string, args ...any) {
	v.errs = append(v.errs, field.Invalid(v.path.Key(name), value, fmt.Sprintf(format, args...)))
}

// class refuses names in Knative's domain that are no class; other domains are other people's autoscalers.
func (v *validator) class() {
	name, value, found := ClassKey.Get(v.annotations)
	if found && strings.HasSuffix(value, ".knative.dev") && value != KPA && value != HPA {
		v.invalid(name, value, "must be %s or %s, or a class outside knative.dev", KPA, HPA)
	}
}

func (v *validator) scaleBounds(config *Config) {
	minName, least, _ := v.count(MinScaleKey)
	maxName, most, maxSet := v.count(MaxScaleKey)
	if most != 0 && most < least {
		v.invalid(maxName, most, "is less than min-scale (%s: %d); raise it or lower min-scale", minName, least)
	}
	if limit := config.MaxScaleLimit; maxSet && limit > 0 {
		switch {
		case most == 0:
			v.invalid(maxName, most, "0 means no maximum, but the cluster allows at most %d (max-scale-limit in %s)", limit, configObject)
		case most > limit:
			v.invalid(maxName, most, "must be from 1 to %d (max-scale-limit in %s)", limit, configObject)
		}
	}
	name, raw, found := ActivationScaleKey.Get(v.annotations)
	if !found {
		return
	}
	activation, err := strconv.ParseInt(raw, 10, 32)
	switch {
	case err != nil:
		v.invalid(name, raw, "must be a whole number of at least %d", ActivationScaleMin)
	case least > int32(activation):
		v.invalid(name, raw, "is less than min-scale (%d); raise it or leave it out", least)
	case most != 0 && most < int32(activation):
		v.invalid(name, raw, "is greater than max-scale (%d); lower it or raise max-scale", most)
	case activation < ActivationScaleMin:
		v.invalid(name, raw, "must be at least %d: from zero one replica is started anyway", ActivationScaleMin)
	}
}

// unknown refuses annotations of Ebb's own that there are none of: a misspelt one would have no effect.
func (v *validator) unknown() {
	for _, name := range slices.Sorted(maps.Keys(v.annotations)) {
		if strings.HasPrefix(name, EbbGroupName+"/") && name != BacklogTargetKey.Name() {
			v.invalid(name, v.annotations[name], "is not known; there is %s", BacklogTargetKey.Name())
		}
	}
}

// count reads a number of replicas, 0 if absent or wrong.
func (v *validator) count(key Key) (name string, n int32, found bool) {
	name, raw, found := key.Get(v.annotations)
	if !found {
		return name, 0, false
	}
	n, ok := parseCount(raw)
	if !ok {
		v.invalid(name, raw, "must be a whole number from 0 to %d", math.MaxInt32)
		return name, 0, false
	}
	return name, n, true
}

func (v *validator) initialScale(config *Config) {
	name, raw, found := InitialScaleKey.Get(v.annotations)
	if !found {
		return
	}
	n, ok := parseCount(raw)
	switch {
	case !ok:
		v.invalid(name, raw, "must be a whole number from 0 to %d", math.MaxInt32)
	case n == 0 && !config.AllowZeroInitialScale:
		v.invalid(name, raw, "0 is not allowed by the cluster; write at least 1 or set allow-zero-initial-scale in %s", configObject)
	}
}

func (v *validator) floats() {
	for _, rule := range floatRules {
		if name, raw, found := rule.key.Get(v.annotations); found {
			if _, ok := rule.parse(raw); !ok {
				v.invalid(name, raw, "must be %s", rule.expects)
			}
		}
	}
}

func (v *validator) durations() {
	for _, rule := range durationRules {
		if name, raw, found := rule.key.Get(v.annotations); found {
			if _, ok := rule.parse(raw); !ok {
				v.invalid(name, raw, "must be %s", rule.expects)
			}
		}
	}
}

// metric checks that the class knows the metric. A class of someone else knows its own.
func (v *validator) metric(config *Config) {
	name, metric, found := MetricKey.Get(v.annotations)
	if !found {
		return
	}
	class := config.Class
	if _, value, found := ClassKey.Get(v.annotations); found {
		class = value
	}
	switch {
	case class == KPA && metric != Concurrency && metric != RPS:
		v.invalid(name, metric, "class %s knows %s and %s; for %s or %s set %s: %s", KPA, Concurrency, RPS, CPU, Memory, ClassKey.Name(), HPA)
	case class == HPA && metric == "":
		v.invalid(name, metric, "must name a metric: %s, %s or a custom one", CPU, Memory)
	}
}

// algorithm is checked only where the class is written: another autoscaler may know others.
func (v *validator) algorithm() {
	if _, class, _ := ClassKey.Get(v.annotations); class != KPA {
		return
	}
	name, raw, _ := MetricAggregationAlgorithmKey.Get(v.annotations)
	if _, ok := parseAlgorithm(raw); !ok {
		v.invalid(name, raw, "must be %s or %s", Linear, WeightedExponential)
	}
}

// floatRule is the one place that says which numbers an annotation may hold, for admission and for resolving.
type floatRule struct {
	key     Key
	expects string
	valid   func(float64) bool
}

func (r floatRule) parse(raw string) (float64, bool) {
	f, err := strconv.ParseFloat(raw, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || !r.valid(f) {
		return 0, false
	}
	return f, true
}

// durationRule is the same for durations.
type durationRule struct {
	key          Key
	expects      string
	least        time.Duration
	wholeSeconds bool
}

func (r durationRule) parse(raw string) (time.Duration, bool) {
	d, err := time.ParseDuration(raw)
	if err != nil || d < r.least || d > WindowMax || r.wholeSeconds && !wholeSeconds(d) {
		return 0, false
	}
	return d, true
}

var (
	targetRule = floatRule{TargetKey, fmt.Sprintf("a number of at least %g", TargetMin),
		func(f float64) bool { return f >= TargetMin }}
	utilizationRule = floatRule{TargetUtilizationKey, "a percentage from 1 to 100",
		func(f float64) bool { return f >= 1 && f <= 100 }}
	burstRule = floatRule{TargetBurstCapacityKey, "-1 (always buffer), 0 (only at zero) or a positive number",
		func(f float64) bool { return f >= 0 || f == -1 }}
	panicWindowRule = floatRule{PanicWindowKey,
		fmt.Sprintf("a percentage from %g to %g", PanicWindowPercentageMin, PanicWindowPercentageMax),
		func(f float64) bool { return f >= PanicWindowPercentageMin && f <= PanicWindowPercentageMax }}
	panicThresholdRule = floatRule{PanicThresholdKey,
		fmt.Sprintf("a percentage from %g to %g", PanicThresholdPercentageMin, PanicThresholdPercentageMax),
		func(f float64) bool { return f >= PanicThresholdPercentageMin && f <= PanicThresholdPercentageMax }}

	backlogRule = floatRule{BacklogTargetKey, fmt.Sprintf("a number of events, at least %g", TargetMin),
		func(f float64) bool { return f >= TargetMin }}

	windowRule         = durationRule{WindowKey, fmt.Sprintf("a duration in whole seconds from %v to %v", WindowMin, WindowMax), WindowMin, true}
	scaleDownDelayRule = durationRule{ScaleDownDelayKey, fmt.Sprintf("a duration in whole seconds from 0s to %v", WindowMax), 0, true}
	retentionRule      = durationRule{RetentionPeriodKey, fmt.Sprintf("a duration from 0s to %v", WindowMax), 0, false}

	floatRules    = []floatRule{targetRule, utilizationRule, burstRule, panicWindowRule, panicThresholdRule, backlogRule}
	durationRules = []durationRule{windowRule, scaleDownDelayRule, retentionRule}
)

// parseCount reads a number of replicas.
func parseCount(raw string) (int32, bool) {
	n, err := strconv.ParseInt(raw, 10, 32)
	if err != nil || n < 0 {
		return 0, false
	}
	return int32(n), true
}

// parseAlgorithm returns the preferred spelling; an empty value is the default.
func parseAlgorithm(raw string) (string, bool) {
	switch raw {
	case "", Linear:
		return Linear, true
	case WeightedExponential, weightedExponentialAlias:
		return WeightedExponential, true
	}
	return "", false
}
