package warmpath

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/processes"
	"ebb.dev/ebb/test/bench/testbed"
)

// How long each subject is loaded in each round, once at a fixed rate and once as fast as it goes. Through two Envoys, half of all answers take 1.0 ms or
// 1.4 as processes happen to fall on two processors, for as long as one load lasts: many rounds tell more than long ones.
const (
	FullTime  = 1200 * time.Millisecond
	QuickTime = 500 * time.Millisecond
	// steadyWarmup makes the fixed rate's connections. Who keeps none that is idle, as Ebb keeps none to an app for more than three seconds, begins
	// each of its turns without any; the static ones keep theirs from the turn before.
	steadyWarmup = time.Second
	warmup       = 300 * time.Millisecond
)

// rateShare is the fixed rate as a share of what the static pair bears.
const rateShare = 0.25

// Options of a run.
type Options struct {
	// Envoy is the binary of the static ones; they listen from FirstPort on.
	Envoy     string
	FirstPort int
	// After RoundsEach of its Rounds all Envoys are started anew.
	Rounds, RoundsEach int
	// Each is how long one measurement takes.
	Each time.Duration
	// Connections are kept open at saturation.
	Connections int
	// Ebb is the name of Ebb's row.
	Ebb string
	Log *slog.Logger
}

// Measurement is one subject in one round.
type Measurement struct {
	Subject string `json:"subject"`
	Round   int    `json:"round"`
	// Steady is at the fixed rate, Saturated as fast as it goes. Without a rate there is only Saturated.
	Steady, Saturated load.Result `json:"-"`
	// P50 and P99 are milliseconds at the fixed rate, PerSecond requests at saturation.
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	PerSecond float64 `json:"perSecond"`
	// SaturatedP50 and SaturatedP99 are milliseconds at saturation.
	SaturatedP50 float64 `json:"saturatedP50"`
	SaturatedP99 float64 `json:"saturatedP99"`
	// SteadyCost is at the fixed rate, BusyCost at saturation.
	SteadyCost Cost   `json:"steadyCost"`
	BusyCost   Cost   `json:"busyCost"`
	Errors     uint64 `json:"errors"`
	FirstError string `json:"firstError,omitempty"`
}

// Cost is processor time, in seconds: of the Envoys, and of the control plane and the agents beside the Envoys.
type Cost struct {
	Proxies  float64 `json:"proxies"`
	Rest     float64 `json:"rest"`
	Requests uint64  `json:"requests"`
}

// Result of a run.
type Result struct {
	// Rate is the fixed one, in requests per second.
	Rate         float64       `json:"rate"`
	Ebb          string        `json:"-"`
	Connections  int           `json:"connections"`
	Measurements []Measurement `json:"measurements"`
}

// The subjects beside Ebb.
const (
	direct = "direct to the pod"
	single = "one static Envoy"
	pairOf = "static gateway + sidecar"
)

// subject is what is measured.
type subject struct {
	name, address, host string
	// proxies and rest are pids.
	proxies, rest []int
}

const service = "warm"

// inPods is where replicas' Envoys are in their pods.
const inPods = "sidecar"

// Measure loads all subjects in turns. After every few rounds all Envoys are started anew: one differs from the next of the same configuration by
// as much as the bar allows, for as long as it lives, and no number of rounds averages that out.
func Measure(ctx context.Context, bed *testbed.Bed, o Options) (r Result, err error) {
	r = Result{Ebb: o.Ebb, Connections: o.Connections}
	dir, err := os.MkdirTemp("", "ebb-bench-warm")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	if err := bed.Create(ctx, testbed.Service{Name: service, Annotations: map[string]string{
		"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/max-scale": "1",
	}}); err != nil {
		return r, err
	}
	roots, err := identities(dir, map[string]string{"gateway": gatewayID, "sidecar": sidecarID})
	if err != nil {
		return r, err
	}
	all := &generations{bed: bed, o: o, dir: dir, roots: roots}
	defer all.stop()
	if all.revision, err = bed.Revision(ctx, service); err != nil {
		return r, err
	}
	if all.app, err = podAddress(ctx, bed, all.revision); err != nil {
		return r, err
	}
	var subjects []subject
	for round := range o.Rounds {
		if round%o.RoundsEach == 0 {
			if subjects, err = all.next(ctx); err != nil {
				return r, fmt.Errorf("start all Envoys before round %d: %w", round, err)
			}
		}
		if r.Rate == 0 {
			if r.Rate, err = findRate(ctx, subjects[2], o); err != nil {
				return r, err
			}
		}
		for i := range subjects {
			s := subjects[(i+round)%len(subjects)]
			m, err := one(ctx, s, r.Rate, o)
			if err != nil {
				return r, fmt.Errorf("%s: %w", s.name, err)
			}
			m.Round = round
			o.Log.Info("warm path", "subject", s.name, "round", round, "p50_ms", m.P50, "p99_ms", m.P99, "per_second", int(m.PerSecond), "errors", m.Errors)
			r.Measurements = append(r.Measurements, m)
		}
	}
	return r, nil
}

// podAddress is where the service's only replica listens.
func podAddress(ctx context.Context, bed *testbed.Bed, revision string) (string, error) {
	pods, err := bed.Kube.CoreV1().Pods(testbed.Services).List(ctx, metav1.ListOptions{LabelSelector: "serving.knative.dev/revision=" + revision})
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return p.Status.PodIP != "" })
	if i < 0 {
		return "", fmt.Errorf("service %s has no replica with an address", service)
	}
	return pods.Items[i].Status.PodIP, nil
}

// findRate finds a rate that every subject bears with ease.
func findRate(ctx context.Context, s subject, o Options) (float64, error) {
	result, err := load.Process(ctx, load.Config{Address: s.address, Host: s.host, Path: "/", Connections: o.Connections, Warmup: warmup, Duration: o.Each / 2})
	if err == nil && result.Requests == 0 {
		err = fmt.Errorf("%s answers nothing: %s", s.name, result.FirstError)
	}
	return result.PerSecond() * rateShare, err
}

func one(ctx context.Context, s subject, rate float64, o Options) (Measurement, error) {
	m := Measurement{Subject: s.name}
	config := load.Config{Address: s.address, Host: s.host, Path: "/", Connections: o.Connections, Warmup: steadyWarmup, Duration: o.Each, Rate: rate}
	steady, cost, err := loaded(ctx, s, config)
	if err != nil {
		return m, err
	}
	config.Rate, config.Warmup = 0, warmup
	saturated, busy, err := loaded(ctx, s, config)
	if err != nil {
		return m, err
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	m.Steady, m.Saturated = steady, saturated
	m.P50, m.P99 = ms(steady.Latency.Quantile(0.5)), ms(steady.Latency.Quantile(0.99))
	m.SaturatedP50, m.SaturatedP99 = ms(saturated.Latency.Quantile(0.5)), ms(saturated.Latency.Quantile(0.99))
	m.PerSecond = saturated.PerSecond()
	m.SteadyCost, m.BusyCost = cost, busy
	m.Errors, m.FirstError = steady.Errors+saturated.Errors, cmp.Or(steady.FirstError, saturated.FirstError)
	return m, nil
}

// loaded loads a subject and returns what that cost.
func loaded(ctx context.Context, s subject, config load.Config) (result load.Result, cost Cost, err error) {
	before, err := used(s)
	if err != nil {
		return result, cost, err
	}
	if result, err = load.Process(ctx, config); err != nil {
		return result, cost, err
	}
	after, err := used(s)
	return result, Cost{Proxies: after[0] - before[0], Rest: after[1] - before[1], Requests: result.All}, err
}

// used is the processor time of a subject's proxies and of the rest so far, in seconds.
func used(s subject) (out [2]float64, err error) {
	for i, pids := range [][]int{s.proxies, s.rest} {
		for _, pid := range pids {
			cpu, err := processes.CPU(pid)
			if err != nil {
				return out, err
			}
			out[i] += cpu.Seconds()
		}
	}
	return out, nil
}
