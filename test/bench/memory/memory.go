package memory

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/test/bench/processes"
	"ebb.dev/ebb/test/bench/testbed"
)

// How long idling is looked at.
const (
	IdleTime      = 30 * time.Second
	QuickIdleTime = 10 * time.Second
	// settleTime is between the last thing asked and the look: caches fill, collectors run.
	settleTime = 15 * time.Second
)

// Options of a run.
type Options struct {
	// Services is how many are made, all at zero.
	Services int
	// Idle is how long idling is looked at.
	Idle time.Duration
	Log  *slog.Logger
}

// Part is one process of the platform, or several of one kind.
type Part struct {
	// Name is the component, and the program where that is another.
	Name string `json:"name"`
	// PSS is in MiB, CPU in percent of a core.
	PSS float64 `json:"pssMiB"`
	CPU float64 `json:"cpuPercent"`
}

// Result of a run.
type Result struct {
	// Idle is the platform without a service, Loaded with Services at zero, Alone the same Kubernetes without Ebb.
	Idle, Loaded, Alone []Part
	// AloneMissing says why Alone is not there.
	AloneMissing string `json:",omitempty"`
}

// Measure looks at a platform that nothing was asked of yet.
func Measure(ctx context.Context, bed *testbed.Bed, o Options) (Result, error) {
	var r Result
	var err error
	if r.Idle, err = Look(ctx, bed.State, o.Idle); err != nil {
		return r, err
	}
	var services []testbed.Service
	for i := range o.Services {
		services = append(services, testbed.Service{Name: fmt.Sprintf("idle-%d", i)})
	}
	if err := bed.Create(ctx, services...); err != nil {
		return r, err
	}
	r.Loaded, err = Look(ctx, bed.State, o.Idle)
	return r, err
}

// Look waits until the platform has settled and measures all its processes over a time.
func Look(ctx context.Context, state string, over time.Duration) ([]Part, error) {
	if err := testbed.Pause(ctx, settleTime); err != nil {
		return nil, err
	}
	parts, err := parts(state)
	if err != nil {
		return nil, err
	}
	before := map[int]time.Duration{}
	for pid := range parts {
		if before[pid], err = processes.CPU(pid); err != nil {
			return nil, err
		}
	}
	begin := time.Now()
	if err := testbed.Pause(ctx, over); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	sums := map[string]Part{}
	for pid, name := range parts {
		after, err := processes.CPU(pid)
		if err != nil {
			return nil, err
		}
		memory, err := processes.MemoryOf(pid)
		if err != nil {
			return nil, err
		}
		sum := sums[name]
		sum.Name = name
		sum.PSS += float64(memory.PSS) / (1 << 20)
		sum.CPU += 100 * (after - before[pid]).Seconds() / took.Seconds()
		sums[name] = sum
	}
	var out []Part
	for _, sum := range sums {
		out = append(out, sum)
	}
	slices.SortFunc(out, func(a, b Part) int { return cmp.Compare(b.PSS, a.PSS) })
	return out, nil
}

// parts names every process of a platform. Pods are none of them.
func parts(state string) (map[int]string, error) {
	status, err := platform.GetStatus(state)
	if err != nil {
		return nil, err
	}
	component := map[int]string{}
	for _, c := range status.Components {
		component[c.PID] = c.Name
	}
	out := map[int]string{}
	for _, c := range status.Components {
		tree, err := processes.Tree(c.PID)
		if err != nil {
			return nil, fmt.Errorf("component %s: %w", c.Name, err)
		}
		for _, p := range tree {
			switch {
			case p.PID == c.PID:
				out[p.PID] = c.Name
			case component[p.PID] == "" && p.Name == "envoy":
				out[p.PID] = c.Name + ": envoy"
			}
		}
	}
	// The supervisor's descendants are everybody: what another component has is not its.
	for pid, name := range component {
		out[pid] = name
	}
	return out, nil
}
