package simulate

import (
	"fmt"
	"time"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/crds/autoscaling"
)

// Settings are the world of a simulation.
type Settings struct {
	Policy  autoscaling.Policy
	Options decide.Options

	// PodStart is the time from the scale patch until a replica is ready.
	PodStart time.Duration
	// Patch is the time from a decision until the scale patch is through.
	Patch time.Duration
	// Confirm is the time until every gateway holds.
	Confirm time.Duration
	// Feed is the time between two reports of a proxy.
	Feed time.Duration
	// ServiceTime is how long a request of a level takes that says nothing of it.
	ServiceTime time.Duration

	// Replicas run and are active at the beginning.
	Replicas int32
	// Tail is the time to go on after the trace, or until nothing runs.
	Tail time.Duration
	// Step is the resolution of the result; 0 fits the length.
	Step time.Duration
	// Seed chooses the moments at which requests of levels arrive.
	Seed uint64
	// MaxRequests bounds the work.
	MaxRequests int
}

// DefaultSettings are those of an Ebb on a laptop, but for the start of a replica, which is an ordinary container's.
func DefaultSettings(policy autoscaling.Policy) Settings {
	return Settings{
		Policy: policy, PodStart: time.Second, Patch: 5 * time.Millisecond, Confirm: 20 * time.Millisecond,
		Feed: 200 * time.Millisecond, ServiceTime: 100 * time.Millisecond, Tail: 2 * time.Minute, Seed: 1, MaxRequests: 10_000_000,
	}
}

func (s Settings) check() error {
	for _, d := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{
		{"--pod-start", s.PodStart, 0}, {"--patch", s.Patch, 0}, {"--confirm", s.Confirm, 0}, {"--tail", s.Tail, 0}, {"--step", s.Step, 0},
		{"--feed", s.Feed, 10 * time.Millisecond}, {"--service-time", s.ServiceTime, time.Microsecond}, {"--tick", s.Options.Tick, 0},
	} {
		if d.value < d.least {
			return fmt.Errorf("%s: %v must be at least %v", d.name, d.value, d.least)
		}
	}
	if s.Policy.Class != autoscaling.KPA {
		return fmt.Errorf("class %s cannot be simulated; only %s can", s.Policy.Class, autoscaling.KPA)
	}
	if s.Replicas < 0 {
		return fmt.Errorf("--replicas: %d must not be negative", s.Replicas)
	}
	return nil
}

// step returns the resolution: what was asked for, or a round time that makes at most 600 of them.
func (s Settings) step(length time.Duration) time.Duration {
	if s.Step > 0 {
		return s.Step
	}
	for _, round := range []time.Duration{
		100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second,
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour,
	} {
		if length/round <= 600 {
			return round
		}
	}
	return 24 * time.Hour
}
