package autoscaling

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const prefix = GroupName + "/"

// requireSound holds what the arithmetic of decisions relies on.
func requireSound(t *testing.T, p Policy) {
	t.Helper()
	for name, f := range map[string]float64{"target": p.Target, "total": p.Total, "tbc": p.TargetBurstCapacity,
		"threshold": p.PanicThreshold, "up": p.MaxScaleUpRate, "down": p.MaxScaleDownRate} {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			t.Errorf("%s is %v", name, f)
		}
	}
	if p.Target < TargetMin || p.MaxScaleUpRate <= 1 || p.MaxScaleDownRate <= 1 || p.PanicThreshold <= 0 {
		t.Errorf("unusable: %+v", p)
	}
	if p.StableWindow < WindowMin || p.StableWindow > WindowMax || p.PanicWindow < BucketSize || p.PanicWindow > p.StableWindow {
		t.Errorf("windows %v and %v", p.StableWindow, p.PanicWindow)
	}
	if p.MinScale < 0 || p.MaxScale < 0 || p.InitialScale < 0 || p.ActivationScale == 1 || p.ActivationScale < 0 {
		t.Errorf("replica counts: %+v", p)
	}
	if p.ScaleDownDelay < 0 || p.RetentionPeriod < 0 || p.GracePeriod <= 0 || p.ProgressDeadline <= 0 {
		t.Errorf("delays: %+v", p)
	}
	if p.Algorithm != Linear && p.Algorithm != WeightedExponential {
		t.Errorf("algorithm %q", p.Algorithm)
	}
}

func TestTargetsResolveAsInKnative(t *testing.T) {
	tests := []struct {
		name        string
		annotations map[string]string
		concurrency int64
		target      float64
		total       float64
	}{
		{"nothing written: 70 % of 100", nil, 0, 70, 100},
		{"containerConcurrency is the total", nil, 10, 7, 10},
		{"containerConcurrency 1", nil, 1, 0.7, 1},
		{"a target replaces the default", map[string]string{"target": "50"}, 0, 35, 50},
		{"a target above containerConcurrency is cut", map[string]string{"target": "50"}, 10, 7, 10},
		{"a target below containerConcurrency stands", map[string]string{"target": "5"}, 10, 3.5, 5},
		{"utilisation replaces the ConfigMap's", map[string]string{"target": "50", "target-utilization-percentage": "100"}, 0, 50, 50},
		{"the older spelling is understood", map[string]string{"targetUtilizationPercentage": "50"}, 10, 5, 10},
		{"the preferred spelling wins", map[string]string{"targetUtilizationPercentage": "50", "target-utilization-percentage": "90"}, 10, 9, 10},
		{"rps: 70 % of 200", map[string]string{"metric": "rps"}, 0, 140, 200},
		{"rps is not cut by containerConcurrency", map[string]string{"metric": "rps", "target": "150"}, 10, 105, 150},
		{"never below the least target", map[string]string{"target": "0.01", "target-utilization-percentage": "1"}, 0, 0.01, 0.01},
		{"a refused target counts as not written", map[string]string{"target": "NaN"}, 0, 70, 100},
	}
	config := DefaultConfig()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := ResolvePolicy(prefixed(tt.annotations), &config, tt.concurrency)
			if math.Abs(p.Target-tt.target) > 1e-12 || p.Total != tt.total {
				t.Errorf("target %v of %v, want %v of %v", p.Target, p.Total, tt.target, tt.total)
			}
			requireSound(t, p)
		})
	}
}

func prefixed(annotations map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range annotations {
		out[prefix+k] = v
	}
	return out
}

func TestAnnotationsReplaceTheConfigMap(t *testing.T) {
	config := DefaultConfig()
	config.MinScale, config.MaxScale = 1, 9
	got := ResolvePolicy(map[string]string{
		prefix + "minScale":                           "2",
		prefix + "max-scale":                          "20",
		prefix + "initialScale":                       "5",
		prefix + "activation-scale":                   "3",
		prefix + "scaleDownDelay":                     "15m",
		prefix + "window":                             "2m",
		prefix + "panicWindowPercentage":              "5",
		prefix + "panic-threshold-percentage":         "150",
		prefix + "target-burst-capacity":              "0",
		prefix + "metricAggregationAlgorithm":         "weightedExponential",
		prefix + "scale-to-zero-pod-retention-period": "1m5s",
		"serving.knative.dev/progress-deadline":       "5m",
	}, &config, 10)
	want := Policy{
		Class: KPA, Metric: Concurrency, Algorithm: WeightedExponential, Target: 7, Total: 10, ContainerConcurrency: 10,
		TargetBurstCapacity: 0, StableWindow: 2 * time.Minute, PanicWindow: 6 * time.Second, PanicThreshold: 1.5,
		MaxScaleUpRate: 1000, MaxScaleDownRate: 2, MinScale: 2, MaxScale: 20, InitialScale: 5, ActivationScale: 3,
		ScaleDownDelay: 15 * time.Minute, ScaleToZero: true, GracePeriod: 30 * time.Second,
		RetentionPeriod: 65 * time.Second, ProgressDeadline: 5 * time.Minute,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDefaultsByClass(t *testing.T) {
	config := DefaultConfig()
	for class, metric := range map[string]string{KPA: Concurrency, HPA: CPU, "mine.example.com": ""} {
		if p := ResolvePolicy(map[string]string{prefix + "class": class}, &config, 0); p.Class != class || p.Metric != metric {
			t.Errorf("%s: class %q metric %q", class, p.Class, p.Metric)
		}
	}
}

func TestPanicWindowIsWholeSecondsAndAtLeastOne(t *testing.T) {
	for _, tt := range []struct {
		stable     time.Duration
		percentage float64
		want       time.Duration
	}{
		{time.Minute, 10, 6 * time.Second},
		{6 * time.Second, 10, time.Second},
		{6 * time.Second, 1, time.Second},
		{45 * time.Second, 10, 5 * time.Second}, // 4.5 s rounds away from zero
		{44 * time.Second, 10, 4 * time.Second},
		{time.Minute, 100, time.Minute},
	} {
		if got := panicWindow(tt.stable, tt.percentage); got != tt.want {
			t.Errorf("%v × %v %% = %v, want %v", tt.stable, tt.percentage, got, tt.want)
		}
	}
}

func TestZeroInitialScaleNeedsTheClustersLeave(t *testing.T) {
	config := DefaultConfig()
	annotations := map[string]string{prefix + "initial-scale": "0"}
	if got := ResolvePolicy(annotations, &config, 0).InitialScale; got != 1 {
		t.Errorf("without leave: %d, want the cluster's 1", got)
	}
	config.AllowZeroInitialScale = true
	if got := ResolvePolicy(annotations, &config, 0).InitialScale; got != 0 {
		t.Errorf("with leave: %d, want 0", got)
	}
}

func FuzzResolvePolicy(f *testing.F) {
	f.Add("target", "50", "window", "60s", int64(10))
	f.Add("target", "1e-300", "target-utilization-percentage", "1", int64(0))
	f.Add("target", "1e308", "target-burst-capacity", "1e308", int64(0))
	f.Add("window", "1ns", "panic-window-percentage", "0.0001", int64(1))
	f.Add("min-scale", "-1", "activation-scale", "1", int64(1))
	config := DefaultConfig()
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string, concurrency int64) {
		if concurrency < 0 {
			return // the serving group refuses it
		}
		annotations := map[string]string{prefix + k1: v1, prefix + k2: v2}
		p := ResolvePolicy(annotations, &config, concurrency)
		requireSound(t, p)
		encoded, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("a policy must be loggable: %v", err)
		}
		var back Policy
		if err := json.Unmarshal(encoded, &back); err != nil || back != p {
			t.Errorf("round trip: %v\n got %+v\nwant %+v", err, back, p)
		}
	})
}
