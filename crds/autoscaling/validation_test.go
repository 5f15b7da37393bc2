package autoscaling

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestAnnotationsAreValidatedAsInKnative(t *testing.T) {
	limited := DefaultConfig()
	limited.MaxScale, limited.MaxScaleLimit = 5, 10
	zero := DefaultConfig()
	zero.AllowZeroInitialScale = true
	hpa := DefaultConfig()
	hpa.Class = HPA

	tests := []struct {
		name        string
		annotations map[string]string
		config      *Config
		want        []string // "key: part of the message"; none is valid
	}{
		{name: "none"},
		{name: "bounds", annotations: map[string]string{"min-scale": "1", "max-scale": "2"}},
		{name: "bounds, older spelling", annotations: map[string]string{"minScale": "1", "maxScale": "2"}},
		{name: "equal bounds", annotations: map[string]string{"min-scale": "2", "max-scale": "2"}},
		{name: "max-scale 0 is no bound", annotations: map[string]string{"min-scale": "5", "max-scale": "0"}},
		{name: "min above max", annotations: map[string]string{"minScale": "3", "maxScale": "2"}, want: []string{"maxScale: less than min-scale (" + prefix + "minScale: 3)"}},
		{name: "negative min", annotations: map[string]string{"min-scale": "-1"}, want: []string{"min-scale: from 0"}},
		{name: "min is a word", annotations: map[string]string{"min-scale": "few"}, want: []string{"min-scale: from 0"}},
		{name: "max over 32 bits", annotations: map[string]string{"max-scale": "2147483648"}, want: []string{"max-scale: from 0"}},
		{name: "max over the limit", annotations: map[string]string{"max-scale": "11"}, config: &limited, want: []string{"max-scale: from 1 to 10"}},
		{name: "no max despite the limit", annotations: map[string]string{"max-scale": "0"}, config: &limited, want: []string{"max-scale: at most 10"}},
		{name: "max at the limit", annotations: map[string]string{"max-scale": "10"}, config: &limited},
		{name: "initial-scale", annotations: map[string]string{"initial-scale": "3"}},
		{name: "initial-scale 0 without leave", annotations: map[string]string{"initialScale": "0"}, want: []string{"initialScale: not allowed by the cluster"}},
		{name: "initial-scale 0 with leave", annotations: map[string]string{"initial-scale": "0"}, config: &zero},
		{name: "initial-scale negative", annotations: map[string]string{"initial-scale": "-1"}, config: &zero, want: []string{"initial-scale: from 0"}},
		{name: "activation-scale", annotations: map[string]string{"activation-scale": "2", "max-scale": "2"}},
		{name: "activation-scale 1", annotations: map[string]string{"activation-scale": "1"}, want: []string{"activation-scale: at least 2"}},
		{name: "activation-scale above max", annotations: map[string]string{"activation-scale": "3", "max-scale": "2"}, want: []string{"activation-scale: greater than max-scale"}},
		{name: "activation-scale below min", annotations: map[string]string{"activation-scale": "2", "min-scale": "3"}, want: []string{"activation-scale: less than min-scale"}},
		{name: "activation-scale a word", annotations: map[string]string{"activation-scale": "two"}, want: []string{"activation-scale: whole number"}},
		{name: "window", annotations: map[string]string{"window": "6s"}},
		{name: "window too short", annotations: map[string]string{"window": "5s"}, want: []string{"window: from 6s to 1h0m0s"}},
		{name: "window too long", annotations: map[string]string{"window": "1h1s"}, want: []string{"window: from 6s"}},
		{name: "window in fractions", annotations: map[string]string{"window": "6500ms"}, want: []string{"window: whole seconds"}},
		{name: "window no duration", annotations: map[string]string{"window": "60"}, want: []string{"window: duration"}},
		{name: "target", annotations: map[string]string{"target": "0.01"}},
		{name: "target too small", annotations: map[string]string{"target": "0.009"}, want: []string{"target: at least 0.01"}},
		{name: "target not a number", annotations: map[string]string{"target": "NaN"}, want: []string{"target: a number"}},
		{name: "utilization", annotations: map[string]string{"target-utilization-percentage": "1"}},
		{name: "utilization over 100", annotations: map[string]string{"targetUtilizationPercentage": "101"}, want: []string{"targetUtilizationPercentage: from 1 to 100"}},
		{name: "burst -1, 0, more", annotations: map[string]string{"target-burst-capacity": "-1"}},
		{name: "burst -2", annotations: map[string]string{"target-burst-capacity": "-2"}, want: []string{"target-burst-capacity: -1 (always buffer)"}},
		{name: "panic window", annotations: map[string]string{"panic-window-percentage": "100", "panic-threshold-percentage": "110"}},
		{name: "panic window 0", annotations: map[string]string{"panicWindowPercentage": "0"}, want: []string{"panicWindowPercentage: from 1 to 100"}},
		{name: "panic threshold 100", annotations: map[string]string{"panicThresholdPercentage": "100"}, want: []string{"panicThresholdPercentage: from 110 to 1000"}},
		{name: "both wrong are both told", annotations: map[string]string{"panic-window-percentage": "0", "panic-threshold-percentage": "1001"},
			want: []string{"panic-window-percentage: from 1", "panic-threshold-percentage: from 110"}},
		{name: "delay", annotations: map[string]string{"scale-down-delay": "15m"}},
		{name: "delay negative", annotations: map[string]string{"scaleDownDelay": "-1s"}, want: []string{"scaleDownDelay: from 0s"}},
		{name: "delay over an hour", annotations: map[string]string{"scale-down-delay": "61m"}, want: []string{"scale-down-delay: from 0s"}},
		{name: "delay in fractions", annotations: map[string]string{"scale-down-delay": "1500ms"}, want: []string{"scale-down-delay: whole seconds"}},
		{name: "retention may be in fractions", annotations: map[string]string{"scale-to-zero-pod-retention-period": "1500ms"}},
		{name: "retention negative", annotations: map[string]string{"scaleToZeroPodRetentionPeriod": "-1s"}, want: []string{"scaleToZeroPodRetentionPeriod: from 0s"}},
		{name: "class of the house", annotations: map[string]string{"class": HPA, "metric": "cpu"}},
		{name: "class unknown in the house", annotations: map[string]string{"class": "x.autoscaling.knative.dev"}, want: []string{"class: must be " + KPA}},
		{name: "class of someone else", annotations: map[string]string{"class": "keda.example.com", "metric": "anything"}},
		{name: "kpa by default cannot cpu", annotations: map[string]string{"metric": "cpu"}, want: []string{"metric: set " + prefix + "class: " + HPA}},
		{name: "hpa by default can", annotations: map[string]string{"metric": "cpu"}, config: &hpa},
		{name: "hpa takes custom metrics", annotations: map[string]string{"class": HPA, "metric": "queue_depth"}},
		{name: "hpa takes no empty metric", annotations: map[string]string{"class": HPA, "metric": ""}, want: []string{"metric: must name a metric"}},
		{name: "kpa rps", annotations: map[string]string{"class": KPA, "metric": "rps"}},
		{name: "algorithm", annotations: map[string]string{"class": KPA, "metric-aggregation-algorithm": "weightedExponential"}},
		{name: "algorithm unknown", annotations: map[string]string{"class": KPA, "metricAggregationAlgorithm": "median"}, want: []string{"metricAggregationAlgorithm: linear or weighted-exponential"}},
		{name: "algorithm of another class", annotations: map[string]string{"class": HPA, "metric-aggregation-algorithm": "median"}},
		// As the public guide has them.
		{name: "guide: production", annotations: map[string]string{"minScale": "1", "maxScale": "10", "target": "50"}},
		{name: "guide: hpa", annotations: map[string]string{"class": HPA, "metric": "cpu", "target": "80", "minScale": "1", "maxScale": "10"}},
		{name: "guide: hpa with delay", annotations: map[string]string{"class": HPA, "metric": "cpu", "target": "70", "scaleDownDelay": "15m", "window": "60s"}},
	}
	path := field.NewPath("spec", "template", "metadata", "annotations")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := tt.config
			if config == nil {
				c := DefaultConfig()
				config = &c
			}
			errs := ValidateAnnotations(prefixed(tt.annotations), config, path)
			if len(errs) != len(tt.want) {
				t.Fatalf("got %v, want %q", errs, tt.want)
			}
			for i, want := range tt.want {
				key, message, _ := strings.Cut(want, ": ")
				if wantField := path.Key(prefix + key).String(); errs[i].Field != wantField {
					t.Errorf("field %s, want %s", errs[i].Field, wantField)
				}
				if !strings.Contains(errs[i].Detail, message) {
					t.Errorf("detail %q lacks %q", errs[i].Detail, message)
				}
			}
		})
	}
}

func TestAnnotationsOnTheServiceItselfAreRefused(t *testing.T) {
	path := field.NewPath("metadata", "annotations")
	errs := ForbidAnnotations(map[string]string{prefix + "min-scale": "1", prefix + "foo": "", "serving.knative.dev/creator": "me"}, path)
	want := `[metadata.annotations[autoscaling.knative.dev/foo]: Forbidden: autoscaling annotations must be put under "spec.template.metadata.annotations" to work, ` +
		`metadata.annotations[autoscaling.knative.dev/min-scale]: Forbidden: autoscaling annotations must be put under "spec.template.metadata.annotations" to work]`
	if got := errs.ToAggregate().Error(); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestTheBacklogTargetIsANumberOfEvents(t *testing.T) {
	config := DefaultConfig()
	path := field.NewPath("annotations")
	for value, want := range map[string]string{
		"100": "", "0.5": "", "0": "a number of events, at least 0.01", "-1": "a number of events", "many": "a number of events",
	} {
		annotations := map[string]string{EbbGroupName + "/backlog-target": value}
		errs := ValidateAnnotations(annotations, &config, path)
		if want == "" {
			if p := ResolvePolicy(annotations, &config, 0); len(errs) > 0 || p.BacklogTarget <= 0 {
				t.Errorf("%q: %v, resolved to %v", value, errs, p.BacklogTarget)
			}
			continue
		}
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), want) || errs[0].Field != "annotations[autoscaling.ebb.dev/backlog-target]" {
			t.Errorf("%q: %v, want %q", value, errs, want)
		}
		if p := ResolvePolicy(annotations, &config, 0); p.BacklogTarget != 0 {
			t.Errorf("%q: resolved to %v", value, p.BacklogTarget)
		}
	}
	misspelt := map[string]string{EbbGroupName + "/backlog": "10"}
	if errs := ValidateAnnotations(misspelt, &config, path); len(errs) != 1 || !strings.Contains(errs[0].Detail, "there is autoscaling.ebb.dev/backlog-target") {
		t.Errorf("misspelt: %v", errs)
	}
	if errs := ForbidAnnotations(misspelt, path); len(errs) != 1 {
		t.Errorf("on the Service itself: %v", errs)
	}
}

func TestEveryKeyHasThePublicPrefixAndIsListedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range Keys() {
		for _, name := range key {
			if !strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, EbbGroupName+"/") || seen[name] {
				t.Errorf("%s: wrong group or listed twice", name)
			}
			seen[name] = true
		}
	}
}

func FuzzValidateAnnotations(f *testing.F) {
	f.Add("min-scale", "1", "max-scale", "0")
	f.Add("class", KPA, "metric", "cpu")
	f.Add("window", "6s", "target", "0x1p-2")
	config := DefaultConfig()
	path := field.NewPath("annotations")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		annotations := map[string]string{prefix + k1: v1, prefix + k2: v2}
		for _, err := range ValidateAnnotations(annotations, &config, path) {
			if err.Field == "" || err.Detail == "" {
				t.Errorf("an error without field or remedy: %v", err)
			}
		}
		requireSound(t, ResolvePolicy(annotations, &config, 0))
	})
}
