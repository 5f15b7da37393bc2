package decide

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ebb.dev/ebb/crds/autoscaling"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// resolve is the policy of annotations (without their group) under the default ConfigMap.
func resolve(concurrency int64, annotations map[string]string) autoscaling.Policy {
	config := autoscaling.DefaultConfig()
	full := map[string]string{}
	for k, v := range annotations {
		full[autoscaling.GroupName+"/"+k] = v
	}
	return autoscaling.ResolvePolicy(full, &config, concurrency)
}

// measured is a window that is known to its full length.
func measured(stable, short float64) Window {
	return Window{Stable: Demand{stable, time.Minute}, Panic: Demand{short, 6 * time.Second}}
}

// running is an active revision with that many replicas, all ready, and nothing remembered.
func running(p autoscaling.Policy, w Window, ready int32) Input {
	return Input{
		Now: start, Window: w, Policy: p, Reachable: true, Replicas: Replicas{Ready: ready, Wanted: ready},
		State: State{Phase: Active, PhaseSince: start.Add(-time.Hour), Initialized: true},
	}
}

// The numbers of Knative's arithmetic, worked out by hand. target is what a replica should have, at full utilisation, so that
// total = target unless said otherwise; the burst capacity is 100.
func TestRecommendationsAreKnatives(t *testing.T) {
	base := func(target float64) autoscaling.Policy {
		p := resolve(0, map[string]string{"target-burst-capacity": "100"})
		p.Target, p.Total, p.MaxScaleUpRate, p.MaxScaleDownRate = target, target/.75, 10, 10
		return p
	}
	tests := []struct {
		name    string
		policy  autoscaling.Policy
		window  Window
		ready   int32
		state   func(*State)
		change  func(*Input)
		desired int32
		burst   int32
		reason  Reason
		panics  bool
	}{
		{name: "no demand", policy: base(10), window: measured(0, 0), ready: 1, desired: 0, burst: -87, reason: StableDemand},
		{name: "5 = ⌈50/10⌉; ⌈50/10⌉/1 ≥ 2 panics", policy: base(10), window: measured(50, 50), ready: 1, desired: 5, burst: -137, reason: StableDemand, panics: true},
		{name: "5 are ready already", policy: base(10), window: measured(50, 50), ready: 5, desired: 5, burst: -84, reason: StableDemand},
		{name: "stable rounds up", policy: base(10), window: measured(50.1, 50), ready: 5, desired: 6, burst: -84, reason: StableDemand},
		{name: "panic window counts only in panic", policy: base(10), window: measured(50, 90), ready: 5, desired: 5, burst: -124, reason: StableDemand},
		{name: "panic takes the panic window", policy: base(10), window: measured(50, 100), ready: 1, desired: 10, burst: -187, reason: PanicDemand, panics: true},
		{name: "the threshold itself panics", policy: base(10), window: measured(50, 100), ready: 5, desired: 10, burst: -134, reason: PanicDemand, panics: true},
		{name: "in panic the larger window counts", policy: base(1), window: measured(50, 30), ready: 5, desired: 50, burst: -124, reason: StableDemand, panics: true,
			state: func(s *State) { s.PanicSince, s.PanicReplicas = start.Add(-5*time.Second), 5 }},
		{name: "no replica goes while in panic", policy: base(10), window: measured(10, 10), ready: 8, desired: 8, burst: -4, reason: PanicKeeps, panics: true,
			state: func(s *State) { s.PanicSince, s.PanicReplicas = start.Add(-59*time.Second), 8 }},
		{name: "panic lasts to the very end of the stable window", policy: base(10), window: measured(10, 10), ready: 8, desired: 8, burst: -4, reason: PanicKeeps, panics: true,
			state: func(s *State) { s.PanicSince, s.PanicReplicas = start.Add(-60*time.Second), 8 }},
		{name: "panic ends one stable window after the last crossing", policy: base(10), window: measured(10, 10), ready: 8, desired: 1, burst: -4, reason: StableDemand,
			state: func(s *State) { s.PanicSince, s.PanicReplicas = start.Add(-61*time.Second), 8 }},
		{name: "a crossing extends a panic with what it had", policy: base(10), window: measured(10, 100), ready: 5, desired: 12, burst: -134, reason: PanicKeeps, panics: true,
			state: func(s *State) { s.PanicSince, s.PanicReplicas = start.Add(-61*time.Second), 12 }},
		{name: "up no faster than 10 ×", policy: base(10), window: measured(1000, 1001), ready: 1, desired: 10, burst: -1088, reason: MaxScaleUpRate, panics: true},
		{name: "down no faster than ÷ 10", policy: base(10), window: measured(1, 1), ready: 100, desired: 10, burst: 1232, reason: MaxScaleDownRate},
		{name: "down at any rate if unreachable", policy: base(10), window: measured(1, 1), ready: 100, desired: 1, burst: 1232, reason: StableDemand,
			change: func(in *Input) { in.Reachable = false }},
		{name: "a small rate up still moves", policy: withRates(base(1), 1.1, 10), window: measured(3, 3), ready: 2, desired: 3, burst: -101, reason: StableDemand},
		{name: "a small rate down still moves", policy: withRates(base(10), 10, 1.1), window: measured(1, 1), ready: 100, desired: 90, burst: 1232, reason: MaxScaleDownRate},
		{name: "burst capacity -1", policy: withBurst(base(181), -1), window: measured(21, 26), ready: 1, desired: 1, burst: -1, reason: StableDemand},
		{name: "burst capacity 0", policy: withBurst(base(10), 0), window: measured(50, 49), ready: 1, desired: 5, burst: 0, reason: StableDemand, panics: true},
		{name: "burst capacity is rounded down", policy: withBurst(base(10), 20), window: measured(10, 10.5), ready: 1, desired: 2, burst: -18, reason: PanicDemand, panics: true},
		{name: "activation scale", policy: withActivation(base(10), 2), window: measured(1, 0), ready: 1, desired: 2, burst: -87, reason: ActivationScale},
		{name: "activation scale leaves zero alone", policy: withActivation(base(10), 2), window: measured(0, 0), ready: 1, desired: 0, burst: -87, reason: StableDemand},
		{name: "activation scale is no bound above it", policy: withActivation(base(10), 2), window: measured(50, 0), ready: 1, desired: 5, burst: -87, reason: StableDemand},
		{name: "nothing ready counts as one", policy: base(10), window: measured(15, 15), ready: 0, desired: 2, burst: -115, reason: StableDemand, panics: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := running(tt.policy, tt.window, tt.ready)
			if tt.state != nil {
				tt.state(&in.State)
			}
			if tt.change != nil {
				tt.change(&in)
			}
			d, s := Decide(in)
			if s.Recommended != tt.desired || d.ExcessBurstCapacity != tt.burst || d.Panicking != tt.panics {
				t.Errorf("got %d, burst %d, panicking %v; want %d, %d, %v\n%s",
					s.Recommended, d.ExcessBurstCapacity, d.Panicking, tt.desired, tt.burst, tt.panics, Explain(in, d))
			}
			if tt.desired > 0 && d.Reason != tt.reason {
				t.Errorf("reason %s, want %s", d.Reason, tt.reason)
			}
		})
	}
}

func withRates(p autoscaling.Policy, up, down float64) autoscaling.Policy {
	p.MaxScaleUpRate, p.MaxScaleDownRate = up, down
	return p
}

func withBurst(p autoscaling.Policy, tbc float64) autoscaling.Policy {
	p.TargetBurstCapacity = tbc
	return p
}

func withActivation(p autoscaling.Policy, n int32) autoscaling.Policy {
	p.ActivationScale = n
	return p
}

// A load that grows sixfold each second, then stays: each step multiplies, none falls back.
func TestPanicFollowsAnExponentialLoad(t *testing.T) {
	p := resolve(0, nil)
	p.Target, p.Total, p.MaxScaleUpRate = 1, 1, 10
	in := running(p, measured(6, 6), 1)
	for i, load := range []float64{6, 36, 216, 1296, 1296} {
		in.Window, in.Now = measured(load, load), start.Add(time.Duration(i)*time.Second)
		d, s := Decide(in)
		if d.Desired != int32(load) {
			t.Fatalf("at load %v: %s", load, Explain(in, d))
		}
		if i < 4 && !s.PanicSince.Equal(in.Now) {
			t.Errorf("at load %v panic dates from %v", load, s.PanicSince)
		}
		in.State, in.Replicas = s, Replicas{Ready: d.Desired, Wanted: d.Desired}
	}
}

// What is held from zero asks for the KPA's own number at once, at 70 % utilisation.
func TestHeldBurstAsksForTheKPAsOwnNumberAtOnce(t *testing.T) {
	tests := []struct {
		name        string
		concurrency int64
		annotations map[string]string
		held        float64
		want        int32
	}{
		{"50 at containerConcurrency 1: 50/0.7", 1, nil, 50, 72},
		{"50 at containerConcurrency 10: 50/7", 10, nil, 50, 8},
		{"50 without a limit: 50/70", 0, nil, 50, 1},
		{"one request", 0, nil, 1, 1},
		{"one request at containerConcurrency 1: 1/0.7", 1, nil, 1, 2},
		{"never more than max-scale", 1, map[string]string{"max-scale": "5"}, 50, 5},
		{"at least the activation scale", 0, map[string]string{"activation-scale": "3"}, 1, 3},
		{"a target of 5", 0, map[string]string{"target": "5"}, 50, 15},
		{"by rate, arrivals are in the window; someone waits", 0, map[string]string{"metric": "rps"}, 50, 1},
		{"by rate, at least the activation scale", 0, map[string]string{"metric": "rps", "activation-scale": "2"}, 1, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{
				Now: start, Window: Window{Held: tt.held}, Policy: resolve(tt.concurrency, tt.annotations), Reachable: true,
				State: State{Phase: Inactive, PhaseSince: start.Add(-time.Hour), Initialized: true, Known: true},
			}
			d, s := Decide(in)
			if d.Desired != tt.want || !d.Apply {
				t.Errorf("%s, want %d", Explain(in, d), tt.want)
			}
			if s.Phase != Activating || s.PhaseReason != PhaseQueued {
				t.Errorf("phase %s %s", s.Phase, s.PhaseReason)
			}
		})
	}
}

func TestHeldRequestsBeyondTheFreeSlotsCountBesideWhatIsInFlight(t *testing.T) {
	p := resolve(1, nil)
	w := measured(8, 10)
	w.Inflight, w.Held = 10, 40
	d, _ := Decide(running(p, w, 15))
	if d.Desired != 72 || d.Reason != HeldDemand || !d.Panicking {
		t.Errorf("10 in flight and 40 held at 0.7: got %d (%s)", d.Desired, d.Reason)
	}
	if d.FreeSlots != 5 {
		t.Errorf("free slots %d, want 15 − 10", d.FreeSlots)
	}
	// Below the panic threshold the stable window still decides, as in Knative.
	w.Held = 8
	if d, _ := Decide(running(p, w, 15)); d.Desired != 12 || d.Panicking {
		t.Errorf("18 at 0.7 over 15 ready is no panic: got %d, panicking %v", d.Desired, d.Panicking)
	}
}

func TestScaleDownDelayIsASlidingMaximum(t *testing.T) {
	p := resolve(0, map[string]string{"target": "10", "target-utilization-percentage": "100", "scale-down-delay": "5m"})
	p.MaxScaleDownRate, p.MaxScaleUpRate, p.PanicThreshold = 10, 10, 100
	steps := []struct {
		at     time.Duration
		demand float64
		want   int32
	}{
		{2 * time.Second, 40, 4},
		{5 * time.Minute, 0, 4},
		{5*time.Minute + 2*time.Second, 0, 0},
		{9 * time.Minute, 40, 4},
		{10 * time.Minute, 30, 4},
		{11 * time.Minute, 0, 4},
		{14 * time.Minute, 0, 3},
		{15 * time.Minute, 0, 0},
	}
	in := running(p, Window{}, 1)
	for _, step := range steps {
		in.Now, in.Window = start.Add(step.at), measured(step.demand, step.demand)
		_, s := Decide(in)
		if s.Recommended != step.want {
			t.Errorf("after %v at %v: %d, want %d", step.at, step.demand, s.Recommended, step.want)
		}
		in.State.Peaks = s.Peaks
	}
}

func TestScaleDownDelayIsForReachableRevisionsOnly(t *testing.T) {
	p := resolve(0, map[string]string{"target": "10", "target-utilization-percentage": "100", "scale-down-delay": "5m"})
	p.PanicThreshold = 100
	in := running(p, measured(40, 40), 4)
	_, in.State = Decide(in)
	in.Now, in.Window, in.Reachable = start.Add(10*time.Second), measured(0, 0), false
	if _, s := Decide(in); s.Recommended != 0 {
		t.Errorf("got %d", s.Recommended)
	}
}

func TestTheScaleDownDelayRemembersOnlyWhatMatters(t *testing.T) {
	var peaks []Peak
	for i, wants := range []int32{5, 3, 4, 4, 2, 2, 1} {
		peaks = remember(peaks, time.Unix(int64(2*i), 0), wants, time.Minute)
	}
	want := []Peak{{0, 5}, {3, 4}, {5, 2}, {6, 1}}
	if diff := cmp.Diff(want, peaks); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := remember(peaks, time.Unix(13, 0), 0, time.Minute); len(got) != 4 || got[3].Replicas != 1 {
		t.Errorf("within a slot the larger stands, got %v", got)
	}
}

func TestWhatIsNotMeasuredStaysAsItIs(t *testing.T) {
	in := running(resolve(0, nil), Window{}, 3)
	if d, s := Decide(in); d.Desired != Unknown || d.Apply || d.Reason != NoData || s.Known {
		t.Errorf("never measured: %+v", d)
	}
	in.State.Known, in.State.Recommended = true, 3
	if d, _ := Decide(in); d.Desired != 3 || d.Reason != NoData {
		t.Errorf("measured before: %+v", d)
	}
}

func TestARestartKeepsWhatRuns(t *testing.T) {
	p := resolve(0, nil)
	in := running(p, measured(1, 1), 8)
	active := State{Phase: Active, PhaseSince: start.Add(-time.Hour), Initialized: true}
	in.State = Begin(p, 8, active, start)
	if d, _ := Decide(in); d.Desired != 8 || d.Reason != PanicKeeps {
		t.Errorf("just after: %s", Explain(in, d))
	}
	in.Now = start.Add(61 * time.Second)
	if d, _ := Decide(in); d.Desired != 4 || d.Reason != MaxScaleDownRate {
		t.Errorf("a stable window later: %s", Explain(in, d))
	}
	if s := Begin(p, 1, active, start); !s.PanicSince.IsZero() {
		t.Error("one replica is no reason to panic")
	}
	for after, want := range map[time.Duration]Reason{0: IdlePending, 59 * time.Second: IdlePending, time.Minute: Idle} {
		in := running(p, measured(0, 0), 1)
		in.State, in.Now = Begin(p, 1, active, start), start.Add(after)
		if d, _ := Decide(in); d.Reason != want {
			t.Errorf("one replica, idle, %s after a restart: %s", after, Explain(in, d))
		}
	}
	if s := Begin(p, 0, State{}, start); s.Phase != Activating || s.ExcessBurst != 100-211 {
		t.Errorf("a new revision begins as %+v", s)
	}
}

func TestAPanicThatEndedInSleepIsForgotten(t *testing.T) {
	p := resolve(1, nil)
	in := running(p, Window{Held: 10}, 0)
	in.State.PanicSince, in.State.PanicReplicas, in.State.Phase = start.Add(-time.Hour), 500, Inactive
	if d, _ := Decide(in); d.Desired != 15 {
		t.Errorf("10 held at 0.7: %s", Explain(in, d))
	}
}
