package autoscaling

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEmptyConfigMapGivesKnativesDefaults(t *testing.T) {
	got, warnings, err := ParseConfig(map[string]string{"_example": "min-scale: nonsense"})
	if err != nil || len(warnings) != 0 {
		t.Fatalf("err %v, warnings %q", err, warnings)
	}
	if diff := cmp.Diff(DefaultConfig(), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want := map[string]any{
		"utilization": 0.7, "target": 100.0, "rps": 200.0, "tbc": 211.0, "window": time.Minute, "panic": 10.0,
		"threshold": 200.0, "up": 1000.0, "down": 2.0, "zero": true, "grace": 30 * time.Second, "retention": time.Duration(0),
		"class": KPA, "initial": int32(1), "allow": false, "min": int32(0), "max": int32(0), "limit": int32(0), "delay": time.Duration(0),
	}
	have := map[string]any{
		"utilization": got.ConcurrencyUtilization, "target": got.ConcurrencyTarget, "rps": got.RPSTarget,
		"tbc": got.TargetBurstCapacity, "window": got.StableWindow, "panic": got.PanicWindowPercentage,
		"threshold": got.PanicThresholdPercentage, "up": got.MaxScaleUpRate, "down": got.MaxScaleDownRate, "zero": got.ScaleToZero,
		"grace": got.ScaleToZeroGracePeriod, "retention": got.ScaleToZeroPodRetentionPeriod, "class": got.Class,
		"initial": got.InitialScale, "allow": got.AllowZeroInitialScale, "min": got.MinScale, "max": got.MaxScale,
		"limit": got.MaxScaleLimit, "delay": got.ScaleDownDelay,
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	got, warnings, err := ParseConfig(map[string]string{
		"pod-autoscaler-class":                    " hpa.autoscaling.knative.dev ",
		"enable-scale-to-zero":                    "false",
		"allow-zero-initial-scale":                "true",
		"max-scale-up-rate":                       "3",
		"max-scale-down-rate":                     "1.5",
		"container-concurrency-target-percentage": "80",
		"container-concurrency-target-default":    "50",
		"requests-per-second-target-default":      "150",
		"target-burst-capacity":                   "-1",
		"panic-window-percentage":                 "20.5",
		"panic-threshold-percentage":              "150",
		"activator-capacity":                      "10",
		"initial-scale":                           "0",
		"min-scale":                               "2",
		"max-scale":                               "20",
		"max-scale-limit":                         "30",
		"stable-window":                           "2m",
		"scale-down-delay":                        "15s",
		"scale-to-zero-grace-period":              "10s",
		"scale-to-zero-pod-retention-period":      "1m30s",
	})
	if err != nil || len(warnings) != 0 {
		t.Fatalf("err %v, warnings %q", err, warnings)
	}
	want := Config{
		Class: HPA, ScaleToZero: false, AllowZeroInitialScale: true, MaxScaleUpRate: 3, MaxScaleDownRate: 1.5,
		ConcurrencyUtilization: 0.8, ConcurrencyTarget: 50, RPSTarget: 150, RPSUtilization: 0.7, TargetBurstCapacity: -1,
		PanicWindowPercentage: 20.5, PanicThresholdPercentage: 150, ActivatorCapacity: 10,
		InitialScale: 0, MinScale: 2, MaxScale: 20, MaxScaleLimit: 30, StableWindow: 2 * time.Minute,
		ScaleDownDelay: 15 * time.Second, ScaleToZeroGracePeriod: 10 * time.Second,
		ScaleToZeroPodRetentionPeriod: 90 * time.Second, ProgressDeadline: 600 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUnknownKeysAreKeptWithAWarning(t *testing.T) {
	got, warnings, err := ParseConfig(map[string]string{"target": "100", "colour": "blue", "min-scale": "1"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"target": "100", "colour": "blue"}, got.Unknown); diff != "" {
		t.Errorf("kept (-want +got)\n%s", diff)
	}
	want := []string{
		"ConfigMap knative-serving/config-autoscaler: colour: unknown key, kept but without effect",
		"ConfigMap knative-serving/config-autoscaler: target: unknown key, kept but without effect; use container-concurrency-target-default",
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got)\n%s", diff)
	}
}

// The patches of the public guide, in its order: each is merged over what the ones before left.
func TestTheGuidesPatchesAreAccepted(t *testing.T) {
	data := map[string]string{}
	for _, patch := range []map[string]string{
		{"min-scale": "1", "max-scale": "10", "scale-to-zero-grace-period": "30s", "stable-window": "60s",
			"enable-scale-to-zero": "true", "target": "100", "container-concurrency-target-default": "100"},
		{"container-concurrency-target-percentage": "70", "panic-window-percentage": "10.0", "panic-threshold-percentage": "200.0"},
		{"scale-to-zero-pod-retention-period": "30s"},
	} {
		for k, v := range patch {
			data[k] = v
		}
		if _, warnings, err := ParseConfig(data); err != nil || len(warnings) != 1 {
			t.Errorf("after %v: err %v, warnings %q", patch, err, warnings)
		}
	}
}

func TestBadValuesNameConfigMapKeyAndRemedy(t *testing.T) {
	tests := []struct {
		key, value string
		more       map[string]string
		want       string
	}{
		{key: "enable-scale-to-zero", value: "maybe", want: `"maybe" is not a truth value; write "true" or "false"`},
		{key: "max-scale-up-rate", value: "fast", want: `"fast" is not a number; write one such as "10" or "0.5"`},
		{key: "target-burst-capacity", value: "NaN", want: `"NaN" is not a number; write one such as "10" or "0.5"`},
		{key: "panic-threshold-percentage", value: "+Inf", want: `"+Inf" is not a number; write one such as "10" or "0.5"`},
		{key: "min-scale", value: "1.5", want: `"1.5" is not a whole number of 32 bits; write one such as "10"`},
		{key: "stable-window", value: "60", want: `"60" is not a duration; write one such as "60s" or "5m"`},
		{key: "scale-to-zero-grace-period", value: "0s", want: "0s must be positive"},
		{key: "scale-to-zero-pod-retention-period", value: "-1s", want: "-1s must not be negative"},
		{key: "scale-down-delay", value: "-1s", want: "-1s must not be negative"},
		{key: "scale-down-delay", value: "1500ms", want: "1.5s must be in whole seconds"},
		{key: "target-burst-capacity", value: "-2", want: "-2 must be -1 (always buffer), 0 or positive"},
		{key: "container-concurrency-target-percentage", value: "0", want: "0 must be in (0, 100] (values up to 1 are fractions)"},
		{key: "container-concurrency-target-percentage", value: "110", want: "110 must be in (0, 100] (values up to 1 are fractions)"},
		{key: "container-concurrency-target-default", value: "0.01", want: "0.01 times the target percentage is 0.007, must be at least 0.01; raise one of them"},
		{key: "requests-per-second-target-default", value: "0", want: "0 must be at least 0.01"},
		{key: "activator-capacity", value: "0.5", want: "0.5 must be at least 1"},
		{key: "max-scale-up-rate", value: "1", want: "1 must be greater than 1"},
		{key: "max-scale-down-rate", value: "1", want: "1 must be greater than 1"},
		{key: "stable-window", value: "5s", want: "5s must be from 6s to 1h0m0s"},
		{key: "stable-window", value: "61m", want: "1h1m0s must be from 6s to 1h0m0s"},
		{key: "stable-window", value: "6500ms", want: "6.5s must be in whole seconds"},
		{key: "panic-window-percentage", value: "0.5", want: "0.5 must be from 1 to 100"},
		{key: "panic-window-percentage", value: "101", want: "101 must be from 1 to 100"},
		{key: "panic-threshold-percentage", value: "0", want: "0 must be positive; 110 to 1000 is sensible"},
		{key: "initial-scale", value: "-1", want: "-1 must not be negative"},
		{key: "initial-scale", value: "0", want: `0 is not allowed; set allow-zero-initial-scale to "true" or initial-scale to at least 1`},
		{key: "min-scale", value: "-1", want: "-1 must not be negative"},
		{key: "min-scale", value: "3", more: map[string]string{"max-scale": "2"}, want: "3 must not be greater than max-scale (2); lower it or raise max-scale"},
		{key: "max-scale", value: "-1", want: "-1 must be from 0 to max-scale-limit (0, where 0 is none)"},
		{key: "max-scale", value: "11", more: map[string]string{"max-scale-limit": "10"}, want: "11 must be from 1 to max-scale-limit (10, where 0 is none)"},
		{key: "max-scale", value: "0", more: map[string]string{"max-scale-limit": "10"}, want: "0 must be from 1 to max-scale-limit (10, where 0 is none)"},
		{key: "max-scale-limit", value: "-1", want: "-1 must not be negative"},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			data := map[string]string{tt.key: tt.value}
			for k, v := range tt.more {
				data[k] = v
			}
			_, _, err := ParseConfig(data)
			if err == nil {
				t.Fatal("accepted")
			}
			want := "ConfigMap knative-serving/config-autoscaler: " + tt.key + ": " + tt.want
			if err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
		})
	}
}

func TestFractionsAndPercentagesAreBothUnderstood(t *testing.T) {
	for value, want := range map[string]float64{"0.7": 0.7, "70": 0.7, "1": 1, "1.1": 0.011000000000000001, "100": 1} {
		c, _, err := ParseConfig(map[string]string{"container-concurrency-target-percentage": value})
		if err != nil || c.ConcurrencyUtilization != want {
			t.Errorf("%s: got %v (%v), want %v", value, c.ConcurrencyUtilization, err, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("stable-window", "60s", "target", "100")
	f.Add("panic-window-percentage", "10.0", "panic-threshold-percentage", "200.0")
	f.Add("min-scale", "3", "max-scale", "2")
	f.Add("container-concurrency-target-percentage", "1e300", "container-concurrency-target-default", "-0")
	f.Add("scale-down-delay", "2562047h47m16s", "initial-scale", "99999999999")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		c, _, err := ParseConfig(map[string]string{k1: v1, k2: v2})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "ConfigMap knative-serving/config-autoscaler: ") {
				t.Errorf("the error does not name the ConfigMap: %v", err)
			}
			return
		}
		requireSound(t, ResolvePolicy(nil, &c, 0))
		requireSound(t, ResolvePolicy(nil, &c, 10))
	})
}
