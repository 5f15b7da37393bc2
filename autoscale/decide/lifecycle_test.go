package decide

import (
	"testing"
	"time"
)

func TestBoundsAreKept(t *testing.T) {
	tests := []struct {
		name        string
		annotations map[string]string
		demand      float64
		change      func(*Input)
		want        int32
		reason      Reason
	}{
		{"within", map[string]string{"min-scale": "1", "max-scale": "10"}, 350, nil, 5, StableDemand},
		{"min-scale", map[string]string{"min-scale": "3"}, 70, nil, 3, MinScale},
		{"min-scale keeps an idle revision up", map[string]string{"min-scale": "3"}, 0, nil, 3, MinScale},
		{"max-scale", map[string]string{"max-scale": "2"}, 700, nil, 2, MaxScale},
		{"max-scale 0 is none", map[string]string{"max-scale": "0"}, 700, nil, 10, StableDemand},
		{"min-scale does not hold what nothing reaches", map[string]string{"min-scale": "3"}, 70,
			func(in *Input) { in.Reachable = false }, 1, StableDemand},
		{"initial-scale until reached", map[string]string{"initial-scale": "5"}, 70,
			func(in *Input) { in.State.Initialized = false }, 5, InitialScale},
		{"initial-scale gives way to a larger min-scale", map[string]string{"initial-scale": "5", "min-scale": "6"}, 70,
			func(in *Input) { in.State.Initialized = false }, 6, MinScale},
		{"initial-scale is over once reached", map[string]string{"initial-scale": "5"}, 70, nil, 1, StableDemand},
		{"initial-scale does not hold what nothing reaches", map[string]string{"initial-scale": "5"}, 70,
			func(in *Input) { in.State.Initialized, in.Reachable = false, false }, 1, StableDemand},
		{"more demand than initial-scale", map[string]string{"initial-scale": "2"}, 350,
			func(in *Input) { in.State.Initialized = false }, 5, StableDemand},
		{"bounds hold before anything is measured", map[string]string{"min-scale": "3"}, 0,
			func(in *Input) { in.Window, in.State.Phase = Window{}, Activating }, 3, MinScale},
		{"initial-scale before anything is measured", map[string]string{"initial-scale": "4"}, 0,
			func(in *Input) { in.Window, in.State.Phase, in.State.Initialized = Window{}, Activating, false }, 4, InitialScale},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := resolve(0, tt.annotations)
			p.PanicThreshold = 1000
			in := running(p, measured(tt.demand, tt.demand), 1)
			if tt.change != nil {
				tt.change(&in)
			}
			if d, _ := Decide(in); d.Desired != tt.want || d.Reason != tt.reason || !d.Apply {
				t.Errorf("%s, want %d (%s)", Explain(in, d), tt.want, tt.reason)
			}
		})
	}
}

// The way to sleep with the default ConfigMap: idle for the stable window, then the gateways, then the grace period, of which
// Knative counts the time that its buffer was in the path already.
func TestGoingToSleepStepByStep(t *testing.T) {
	in := running(resolve(0, map[string]string{"target-burst-capacity": "0"}), measured(0, 0), 1)
	in.State.PhaseSince = start.Add(-40 * time.Second)
	step := func(after time.Duration, holding bool, desired int32, apply, prepare bool, reason Reason, next time.Duration) {
		t.Helper()
		in.Now, in.Holding = start.Add(after), holding
		d, s := Decide(in)
		if d.Desired != desired || d.Apply != apply || d.PrepareSleep != prepare || d.Reason != reason {
			t.Fatalf("after %v: %s, prepare %v; want %d (%s), apply %v, prepare %v", after, Explain(in, d), d.PrepareSleep, desired, reason, apply, prepare)
		}
		if got := d.Next.Sub(in.Now); !d.Next.IsZero() && got != next || d.Next.IsZero() && next != 0 {
			t.Fatalf("after %v: looks again at %v, want after %v", after, d.Next, next)
		}
		in.State = s
	}
	step(0, false, 1, true, false, IdlePending, 2*time.Second)
	step(19*time.Second, false, 1, true, false, IdlePending, time.Second)
	step(20*time.Second, false, 0, false, true, Idle, 2*time.Second)
	if in.State.Phase != Inactive || in.State.PhaseReason != PhaseNoTraffic || !in.State.PhaseSince.Equal(start.Add(20*time.Second)) {
		t.Fatalf("state %+v", in.State)
	}
	step(21*time.Second, false, 0, false, true, GatewaysPending, 2*time.Second)
	step(22*time.Second, true, 0, false, false, GracePending, 2*time.Second)
	step(49*time.Second, true, 0, false, false, GracePending, time.Second)
	step(50*time.Second, true, 0, true, false, Asleep, 2*time.Second)
	in.Replicas = Replicas{}
	step(51*time.Second, true, 0, true, false, Asleep, 0)
}

func TestRetentionAndGraceBothCount(t *testing.T) {
	tests := []struct {
		name        string
		annotations map[string]string
		options     Options
		reachable   bool
		bufferSince time.Duration // before now; 0 is never
		inactive    time.Duration
		apply       bool
		reason      Reason
	}{
		{name: "grace not over", reachable: true, bufferSince: 10 * time.Second, inactive: 10 * time.Second, reason: GracePending},
		{name: "grace over", reachable: true, bufferSince: 30 * time.Second, inactive: 30 * time.Second, apply: true, reason: Asleep},
		{name: "the buffer was in the path long before", reachable: true, bufferSince: time.Hour, inactive: time.Millisecond, apply: true, reason: Asleep},
		{name: "the buffer is not known to be there", reachable: true, inactive: 10 * time.Second, reason: GracePending},
		{name: "confirmed sleep skips the grace", options: Options{ConfirmedSleep: true}, reachable: true, bufferSince: time.Second, inactive: time.Second, apply: true, reason: Asleep},
		{name: "retention", annotations: map[string]string{"scale-to-zero-pod-retention-period": "1m"}, reachable: true, bufferSince: time.Hour, inactive: 59 * time.Second, reason: RetentionPending},
		{name: "retention over", annotations: map[string]string{"scale-to-zero-pod-retention-period": "1m"}, reachable: true, bufferSince: time.Hour, inactive: time.Minute, apply: true, reason: Asleep},
		{name: "confirmed sleep keeps the retention", annotations: map[string]string{"scale-to-zero-pod-retention-period": "1m"}, options: Options{ConfirmedSleep: true}, reachable: true, bufferSince: time.Hour, inactive: 59 * time.Second, reason: RetentionPending},
		{name: "retention shorter than grace", annotations: map[string]string{"scale-to-zero-pod-retention-period": "5s"}, reachable: true, bufferSince: 10 * time.Second, inactive: 10 * time.Second, reason: GracePending},
		{name: "unreachable has no retention", annotations: map[string]string{"scale-to-zero-pod-retention-period": "1m"}, bufferSince: time.Hour, inactive: time.Second, apply: true, reason: Asleep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := running(resolve(0, tt.annotations), measured(0, 0), 1)
			in.Options, in.Reachable, in.Holding = tt.options, tt.reachable, true
			in.State.Phase, in.State.PhaseSince = Inactive, start.Add(-tt.inactive)
			if tt.bufferSince > 0 {
				in.State.BufferSince = start.Add(-tt.bufferSince)
			}
			d, _ := Decide(in)
			if d.Desired != 0 || d.Apply != tt.apply || d.Reason != tt.reason {
				t.Errorf("%s, want %s, apply %v", Explain(in, d), tt.reason, tt.apply)
			}
			if !tt.apply && !d.Next.After(start) {
				t.Errorf("waits, but looks again at %v", d.Next)
			}
		})
	}
}

// With the default burst capacity of 211 Knative's buffer is in the path of a small revision all along, so nothing is left
// of the grace period when it becomes idle.
func TestWithTheDefaultBurstCapacityNoGraceIsLeft(t *testing.T) {
	in := running(resolve(0, nil), measured(1, 1), 1)
	_, in.State = Decide(in)
	in.Now, in.Window = start.Add(2*time.Hour), measured(0, 0)
	d, s := Decide(in)
	if d.Reason != Idle || !d.PrepareSleep {
		t.Fatalf("%s", Explain(in, d))
	}
	in.Now, in.State, in.Holding = in.Now.Add(20*time.Millisecond), s, true
	if d, _ := Decide(in); d.Desired != 0 || !d.Apply {
		t.Errorf("%s", Explain(in, d))
	}
}

func TestNothingSleepsWhereTheClusterForbidsIt(t *testing.T) {
	p := resolve(0, nil)
	p.ScaleToZero = false
	in := running(p, measured(0, 0), 1)
	if d, s := Decide(in); d.Desired != 1 || !d.Apply || d.Reason != ScaleToZeroDisabled || s.Phase != Active {
		t.Errorf("%s, phase %s", Explain(in, d), s.Phase)
	}
}

func TestAFailedActivationIsGivenUpWhenNobodyAsksAnyMore(t *testing.T) {
	p := resolve(0, nil)
	p.ProgressDeadline = 2 * time.Minute
	in := Input{
		Now: start, Policy: p, Reachable: true, Replicas: Replicas{Wanted: 1}, Window: measured(0, 0),
		State: State{Phase: Activating, PhaseReason: PhaseQueued, PhaseSince: start.Add(-150 * time.Second)},
	}
	d, s := Decide(in)
	if d.Desired != Unknown || d.Apply || d.Reason != ActivationPending || s.Phase != Activating {
		t.Fatalf("at the deadline: %s", Explain(in, d))
	}
	if !d.Next.Equal(start.Add(time.Nanosecond)) {
		t.Errorf("looks again at %v", d.Next)
	}
	in.Now = d.Next
	d, s = Decide(in)
	if d.Desired != 0 || !d.Apply || d.PrepareSleep || d.Reason != ActivationTimedOut || s.Phase != Inactive || s.PhaseReason != PhaseTimedOut {
		t.Errorf("after it: %s, phase %s %s", Explain(in, d), s.Phase, s.PhaseReason)
	}
	in.Window.Held = 1
	if d, _ := Decide(in); d.Desired != 1 || !d.Apply {
		t.Errorf("while someone waits it goes on: %s", Explain(in, d))
	}
}

func TestPhasesFollowWhatIsWantedAndReady(t *testing.T) {
	tests := []struct {
		name        string
		annotations map[string]string
		from        Phase
		known       bool
		demand      float64
		ready       int32
		initialized bool
		want        Phase
		reason      string
	}{
		{"wanted, not ready", nil, Inactive, true, 1, 0, true, Activating, PhaseQueued},
		{"wanted, ready", nil, Activating, true, 1, 1, true, Active, ""},
		{"wanted, fewer ready than min-scale", map[string]string{"min-scale": "2"}, Active, true, 1, 1, true, Activating, PhaseQueued},
		{"first ready, initial-scale not reached", map[string]string{"initial-scale": "2"}, Activating, true, 1, 1, false, Activating, "before"},
		{"initial-scale reached", map[string]string{"initial-scale": "2"}, Activating, true, 1, 2, false, Active, ""},
		{"unknown, inactive stays", nil, Inactive, false, 0, 0, true, Inactive, "before"},
		{"unknown, activating stays", nil, Activating, false, 0, 0, false, Activating, "before"},
		{"unknown, activating and ready", nil, Activating, false, 0, 1, false, Active, ""},
		{"unknown, active and lost its replicas", nil, Active, false, 0, 0, true, Activating, PhaseQueued},
		{"unknown, inactive with a replica", nil, Inactive, false, 0, 1, true, Inactive, "before"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := Window{}
			if tt.known {
				w = measured(tt.demand, tt.demand)
			}
			in := running(resolve(0, tt.annotations), w, tt.ready)
			in.Replicas.Wanted = max(1, tt.ready)
			in.State = State{Phase: tt.from, PhaseReason: "before", PhaseSince: start.Add(-time.Second), Initialized: tt.initialized}
			_, s := Decide(in)
			if s.Phase != tt.want || s.PhaseReason != tt.reason {
				t.Errorf("phase %s %q, want %s %q", s.Phase, s.PhaseReason, tt.want, tt.reason)
			}
			if changed := s.Phase != tt.from; changed != s.PhaseSince.Equal(start) {
				t.Errorf("changed %v, since %v", changed, s.PhaseSince)
			}
		})
	}
}

// initial-scale 0: born inactive, and asleep until someone asks.
func TestARevisionMayBeBornAsleep(t *testing.T) {
	p := resolve(0, nil)
	p.InitialScale = 0
	in := Input{Now: start, Policy: p, Reachable: true, State: Begin(p, 0, State{}, start)}
	d, s := Decide(in)
	if s.Phase != Inactive || s.PhaseReason != PhaseNoTraffic || !s.Initialized || !d.Next.IsZero() {
		t.Fatalf("%s, phase %s %s, next %v", Explain(in, d), s.Phase, s.PhaseReason, d.Next)
	}
	in.State, in.Window.Held = s, 1
	if d, s := Decide(in); d.Desired != 1 || !d.Apply || s.Phase != Activating {
		t.Errorf("%s, phase %s", Explain(in, d), s.Phase)
	}
}

func TestTheHoldStandsInThePathByBurstCapacity(t *testing.T) {
	tests := []struct {
		name        string
		concurrency int64
		burst       float64
		options     Options
		inflight    float64
		ready       int32
		want        bool
		free        int32
	}{
		{"-1 always", 10, -1, Options{}, 0, 2, true, 20},
		{"0 never while it runs", 1, 0, Options{}, 2, 2, false, 0},
		{"positive, slots free", 10, 211, Options{}, 15, 2, false, 5},
		{"positive, none free", 10, 211, Options{}, 20, 2, true, 0},
		{"positive, more than there are slots", 10, 211, Options{}, 35, 2, true, 0},
		{"positive, no limit", 0, 211, Options{}, 500, 2, false, -1},
		{"Knative's rule, little capacity", 0, 211, Options{ExcessCapacityHold: true}, 0, 2, true, -1},
		{"Knative's rule, capacity to spare", 0, 211, Options{ExcessCapacityHold: true}, 0, 4, false, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := measured(70, 70)
			w.Inflight = tt.inflight
			in := running(withBurst(resolve(tt.concurrency, nil), tt.burst), w, tt.ready)
			in.Options = tt.options
			if d, _ := Decide(in); d.HoldInPath != tt.want || d.FreeSlots != tt.free {
				t.Errorf("in path %v with %d free, want %v with %d", d.HoldInPath, d.FreeSlots, tt.want, tt.free)
			}
		})
	}
}

func TestTheBuffersTimeCountsFromWhenItCameIn(t *testing.T) {
	in := running(resolve(0, nil), measured(10, 10), 1) // 100 − 211 − 10 < 0
	_, s := Decide(in)
	if !s.BufferSince.Equal(start) {
		t.Fatalf("since %v", s.BufferSince)
	}
	in.State, in.Now = s, start.Add(time.Minute)
	if _, s = Decide(in); !s.BufferSince.Equal(start) {
		t.Errorf("it stays: since %v", s.BufferSince)
	}
	in.Replicas.Ready = 4 // 400 − 211 − 10 ≥ 0
	if _, s = Decide(in); !s.BufferSince.IsZero() {
		t.Errorf("it leaves: since %v", s.BufferSince)
	}
}

func TestTheTickIsTwoSecondsUnlessSaidOtherwise(t *testing.T) {
	in := running(resolve(0, nil), measured(10, 10), 1)
	if d, _ := Decide(in); d.Next.Sub(start) != 2*time.Second {
		t.Errorf("after %v", d.Next.Sub(start))
	}
	in.Options.Tick = 200 * time.Millisecond
	if d, _ := Decide(in); d.Next.Sub(start) != 200*time.Millisecond {
		t.Errorf("after %v", d.Next.Sub(start))
	}
}
