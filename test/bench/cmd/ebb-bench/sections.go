package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"ebb.dev/ebb/test/bench/burst"
	"ebb.dev/ebb/test/bench/change"
	"ebb.dev/ebb/test/bench/coldstart"
	"ebb.dev/ebb/test/bench/events"
	"ebb.dev/ebb/test/bench/memory"
	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/testbed"
	"ebb.dev/ebb/test/bench/warmpath"
	"ebb.dev/ebb/test/bench/writes"
)

// The platforms that can be measured.
const (
	kubelet = "kubelet"
	light   = "light"
	sidecar = "sidecar"
)

var (
	platforms = []string{kubelet, light, sidecar}
	titles    = map[string]string{kubelet: "a kubelet, node proxies", light: "the light node", sidecar: "a kubelet, sidecars"}
)

// stage is what sections of one platform share.
type stage struct {
	options
	node string
	bed  *testbed.Bed
	// alone is the same Kubernetes without Ebb, or why it was not measured.
	alone    []memory.Part
	aloneErr error
}

func (s *stage) idle() time.Duration { return pick(s, memory.IdleTime, memory.QuickIdleTime) }

func (s *stage) title() string { return titles[s.node] }

// name is unique over all platforms.
func (s *stage) name(section string) string { return section + "-" + s.node }

// pick is the number for a full run, or that for a quick one.
func pick[T any](s *stage, full, quick T) T {
	if s.quick {
		return quick
	}
	return full
}

// section is one benchmark.
type section struct {
	name string
	// on are the platforms that it makes sense on.
	on  []string
	run func(context.Context, *stage) (report.Section, error)
}

// sections are in the order in which they run on a platform: the first one needs one that nothing was asked of yet.
var sections = []section{
	{"memory", []string{kubelet, light, sidecar}, func(ctx context.Context, s *stage) (report.Section, error) {
		got, err := memory.Measure(ctx, s.bed, memory.Options{Services: 100, Idle: s.idle(), Log: s.log})
		got.Alone = s.alone
		if s.aloneErr != nil {
			got.AloneMissing = s.aloneErr.Error()
		}
		return memory.Section(s.name("memory"), s.title(), got), err
	}},
	{"writes", []string{kubelet}, func(ctx context.Context, s *stage) (report.Section, error) {
		got, err := writes.Measure(ctx, s.bed, 20)
		return writes.Section(s.name("writes"), got), err
	}},
	{"coldstart", []string{kubelet, light, sidecar}, func(ctx context.Context, s *stage) (report.Section, error) {
		o := coldstart.Options{Batch: 10, Rounds: 3, Scales: []int{10, 100, 1000}, Idle: s.idle(), Log: s.log}
		if s.node == sidecar {
			o.Scales = []int{10, 100} // what a thousand services cost has nothing to do with where the proxy of one runs
		}
		if s.quick {
			o = coldstart.Options{Batch: 5, Rounds: 1, Scales: []int{10, 100}, Idle: s.idle(), Log: s.log}
		}
		got, rests, err := coldstart.Measure(ctx, s.bed, o)
		return coldstart.Section(s.name("coldstart"), s.title(), got, rests), err
	}},
	{"burst", []string{kubelet, light}, func(ctx context.Context, s *stage) (report.Section, error) {
		rounds := pick(s, 10, 2)
		if s.node == kubelet {
			rounds = pick(s, 3, 1) // the bars are the light node's, and 72 containers take half a minute to come and go
		}
		got, err := burst.Measure(ctx, s.bed, burst.Options{Rounds: rounds, Log: s.log})
		return burst.Section(s.name("burst"), s.title(), got, s.node == light), err
	}},
	{"warm", []string{kubelet, sidecar}, func(ctx context.Context, s *stage) (report.Section, error) {
		o := warmpath.Options{
			Envoy: s.bin + "/envoy", FirstPort: s.port + 1, Rounds: pick(s, 36, 4), RoundsEach: pick(s, 4, 2), Each: pick(s, warmpath.FullTime, warmpath.QuickTime),
			Connections: 32, Ebb: "Ebb, node proxy", Log: s.log,
		}
		if s.node == sidecar {
			o.Ebb = "Ebb, sidecar"
		}
		got, err := warmpath.Measure(ctx, s.bed, o)
		return warmpath.Section(s.name("warm"), s.title(), got), err
	}},
	{"change", []string{kubelet}, func(ctx context.Context, s *stage) (report.Section, error) {
		got, err := change.Measure(ctx, s.bed, change.Options{Changes: pick(s, 50, 10), Scales: pick(s, []int{10, 1000}, []int{10, 100})})
		return change.Section(s.name("change"), got), err
	}},
	{"backlog", []string{light}, func(ctx context.Context, s *stage) (report.Section, error) {
		o := events.BacklogOptions{Dir: s.bed.State + "-backlog", Records: pick(s, 100_000, 10_000), Rounds: pick(s, 3, 1), Log: s.log}
		got, err := events.MeasureBacklog(ctx, s.bed, o)
		return events.BacklogSection(s.name("backlog"), s.title(), got), err
	}},
	// The last one: it leaves a relaxed platform.
	{"events", []string{light}, func(ctx context.Context, s *stage) (report.Section, error) {
		o := events.Options{
			Dir: s.bed.State + "-peers", AcceptRounds: 5, DeliveryRounds: 5, AloneRounds: 5, Each: 2 * time.Second, Batch: 8, WakeRounds: 13, Log: s.log,
		}
		if s.quick {
			o.AcceptRounds, o.DeliveryRounds, o.AloneRounds, o.Each, o.Batch, o.WakeRounds = 2, 2, 2, time.Second, 4, 1
		}
		got, err := events.Measure(ctx, s.bed, o)
		return events.Section(s.name("events"), s.title(), got), err
	}},
}

func sectionNames() []string {
	var out []string
	for _, s := range sections {
		out = append(out, s.name)
	}
	return out
}

// rank orders sections in the report: as people ask.
func rank(name string) int {
	kind, node, _ := strings.Cut(name, "-")
	return slices.Index([]string{"coldstart", "burst", "warm", "memory", "writes", "change", "events", "backlog"}, kind)*len(platforms) + slices.Index(platforms, node)
}

// onPlatform runs the sections that one platform is for. What it could not measure, it says in the section's place.
func onPlatform(ctx context.Context, o options, node string) ([]report.Section, error) {
	var wanted []section
	for _, s := range sections {
		if slices.Contains(s.on, node) && (len(o.only) == 0 || slices.Contains(o.only, s.name)) {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	stage := &stage{options: o, node: node}
	state := o.state + "-" + node[:1]
	missing := func(err error) []report.Section {
		var out []report.Section
		for _, s := range wanted {
			out = append(out, report.Section{Name: stage.name(s.name), Title: s.name + " on " + stage.title(), Missing: err.Error()})
		}
		return out
	}
	if err := testbed.RemoveState(state); err != nil {
		return missing(err), err
	}
	o.log.Info("platform starts", "platform", node, "state", state)
	options := testbed.Options{Bin: o.bin, State: state, Port: o.port, Node: node, ReplicaProxy: "node", Sources: o.sources, Log: os.Stderr}
	if node == sidecar {
		options.Node, options.ReplicaProxy = kubelet, "sidecar"
	}
	if slices.ContainsFunc(wanted, func(s section) bool { return s.name == "memory" }) {
		stage.alone, stage.aloneErr = memory.Alone(ctx, options, stage.idle())
	}
	var err error
	if stage.bed, err = testbed.Start(ctx, options); err != nil {
		return missing(err), fmt.Errorf("platform %s: %w", node, err)
	}
	var out []report.Section
	var errs []error
	for _, s := range wanted {
		o.log.Info("section starts", "section", s.name, "platform", node)
		got, err := s.run(ctx, stage)
		if err != nil {
			got.Missing = err.Error()
			errs = append(errs, fmt.Errorf("%s on %s: %w", s.name, node, err))
			o.log.Error("section failed", "section", s.name, "platform", node, "error", err)
		}
		out = append(out, got)
		if err := stage.bed.Clear(ctx); err != nil {
			errs = append(errs, fmt.Errorf("after %s on %s: %w", s.name, node, err))
		}
	}
	errs = append(errs, stage.bed.Stop())
	return out, errors.Join(errs...)
}
