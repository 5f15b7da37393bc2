package warmpath

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/processes"
	"ebb.dev/ebb/test/bench/testbed"
)

// How long each subject is loaded in each round, once at a fixed rate and once as fast as it goes.
const (
	FullTime  = 3 * time.Second
	QuickTime = time.Second
	// steadyWarmup makes the fixed rate's connections. Who keeps none that is idle, as Ebb keeps none to an app for more than three seconds, begins
	// each of its turns without any; the static ones keep theirs from the turn before.
	steadyWarmup = 2 * time.Second
	warmup       = 300 * time.Millisecond
)

// rateShare is the fixed rate as a share of what the static pair bears.
const rateShare = 0.25

// Options of a run.
type Options struct {
	// Envoy is the binary of the static ones; they listen from FirstPort on.
	Envoy     string
	FirstPort int
	Rounds    int
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

// Measure loads all subjects in turns.
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
	revision, err := bed.Revision(ctx, service)
	if err != nil {
		return r, err
	}
	app, err := podAddress(ctx, bed, revision)
	if err != nil {
		return r, err
	}
	var sidecars []int
	if bed.ReplicaProxy == inPods {
		if sidecars, err = sidecarEnvoys(); err == nil && len(sidecars) == 0 {
			err = errors.New("no sidecar's Envoy is found among the processes of pods")
		}
		if err != nil {
			return r, err
		}
	}
	statics, err := startStatics(ctx, bed, o, dir, app, revision, sidecars)
	defer func() {
		for _, e := range statics {
			e.stop()
		}
	}()
	if err != nil {
		return r, err
	}
	subjects, err := subjects(bed, o, statics, app, sidecars)
	if err != nil {
		return r, err
	}
	for _, e := range statics {
		if e.process == nil {
			continue // its pod weighs as any other
		}
		if err := weighLike(e.pid, subjects[3].proxies[0]); err != nil {
			return r, fmt.Errorf("put %s where Ebb's Envoys are: %w", e.Name, err)
		}
	}
	if r.Rate, err = findRate(ctx, subjects[2], o); err != nil {
		return r, err
	}
	for round := range o.Rounds {
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

const appPort = 8080

// startStatics starts the single one, a sidecar and a gateway before it, in that order. Where Ebb's sidecar is in its pod, so is the other, in
// one of its own; sidecars are the processes of those that were there before.
func startStatics(ctx context.Context, bed *testbed.Bed, o Options, dir, app, revision string, sidecars []int) (out []*envoy, err error) {
	const gatewayID, sidecarID = "spiffe://bench/gateway", "spiffe://bench/sidecar"
	roots, err := identities(dir, map[string]string{"gateway": gatewayID, "sidecar": sidecarID})
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	single := static{Name: "single", Port: o.FirstPort, Workers: 2, Host: app, To: appPort}
	sidecar := static{
		Name: "sidecar", Port: o.FirstPort + 2, Workers: 1, Host: app, To: appPort, ServeTLS: gatewayID,
		Certificate: file("sidecar.pem"), Key: file("sidecar.key"), Roots: roots,
	}
	gateway := static{
		Name: "gateway", Port: o.FirstPort + 1, Workers: 2, DialTLS: sidecarID,
		Certificate: file("gateway.pem"), Key: file("gateway.key"), Roots: roots,
	}
	run := func(e *envoy, err error) (*envoy, error) {
		if err == nil {
			out = append(out, e)
		}
		return e, err
	}
	if _, err := run(single.start(ctx, o.Envoy, dir)); err != nil {
		return out, err
	}
	var inner *envoy
	if bed.ReplicaProxy == inPods {
		sidecar.Host, sidecar.Port = "127.0.0.1", networking.ReplicaHTTPSPort
		inner, err = run(sidecar.startInPod(ctx, bed, revision, sidecars))
	} else {
		inner, err = run(sidecar.start(ctx, o.Envoy, dir))
	}
	if err != nil {
		return out, err
	}
	gateway.Host, gateway.To = inner.host, inner.Port
	_, err = run(gateway.start(ctx, o.Envoy, dir))
	return out, err
}

func subjects(bed *testbed.Bed, o Options, statics []*envoy, app string, sidecars []int) ([]subject, error) {
	ebb := subject{name: o.Ebb, address: bed.Gateway(), host: bed.URLHost(service)}
	components, err := bed.Components()
	if err != nil {
		return nil, err
	}
	for _, c := range components {
		if !slices.Contains([]string{"gateway", "node", "control-plane"}, c.Name) {
			continue
		}
		tree, err := processes.Tree(c.PID)
		if err != nil {
			return nil, err
		}
		for _, p := range tree {
			switch {
			case p.Name == "envoy":
				ebb.proxies = append(ebb.proxies, p.PID)
			case p.PID == c.PID:
				ebb.rest = append(ebb.rest, p.PID)
			}
		}
	}
	ebb.proxies = append(ebb.proxies, sidecars...)
	pids := func(envoys ...*envoy) (out []int) {
		for _, e := range envoys {
			out = append(out, e.pid)
		}
		return out
	}
	return []subject{
		{name: direct, address: net.JoinHostPort(app, fmt.Sprint(appPort)), host: ebb.host},
		{name: single, address: statics[0].address(), host: ebb.host, proxies: pids(statics[0])},
		{name: pairOf, address: statics[2].address(), host: ebb.host, proxies: pids(statics[1], statics[2])},
		ebb,
	}, nil
}

// sidecarEnvoys are the Envoys in pods: descendants of the container runtime's shims, which are children of init.
func sidecarEnvoys() ([]int, error) {
	tree, err := processes.Tree(1)
	if err != nil {
		return nil, err
	}
	inShim := map[int]bool{}
	var out []int
	for _, p := range tree {
		inShim[p.PID] = inShim[p.Parent] || p.Name == "containerd-shim-runc-v2"
		if inShim[p.PID] && p.Name == "envoy" {
			out = append(out, p.PID)
		}
	}
	return out, nil
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
