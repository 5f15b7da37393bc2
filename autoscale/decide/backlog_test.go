package decide

import (
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/crds/autoscaling"
)

// withBacklogTarget is the policy of a service with the annotation.
func withBacklogTarget(events string) autoscaling.Policy {
	config := autoscaling.DefaultConfig()
	return autoscaling.ResolvePolicy(map[string]string{autoscaling.BacklogTargetKey.Name(): events}, &config, 0)
}

func TestABacklogAsksForWhatItsDeliveriesAreGoingToNeed(t *testing.T) {
	fromKafka := Backlog{Waiting: 100_000, AtOnce: 320}
	tests := []struct {
		name        string
		concurrency int64
		annotations map[string]string
		backlogOf   string
		window      Window
		want        int32
		reason      Reason
	}{
		{name: "256 due at 70", window: Window{Backlog: Backlog{Waiting: 1000, AtOnce: 256, Due: 255}, Held: 1}, want: 4, reason: BacklogDemand},
		{name: "256 due at containerConcurrency 10", concurrency: 10, window: Window{Backlog: Backlog{Waiting: 1000, AtOnce: 256, Due: 246}, Held: 10}, want: 37, reason: BacklogDemand},
		{name: "what is held is more", concurrency: 1, window: Window{Backlog: Backlog{Waiting: 9, AtOnce: 50, Due: 9}, Held: 41}, want: 72, reason: HeldDemand},
		{name: "never more than max-scale", concurrency: 1, annotations: map[string]string{"max-scale": "6"},
			window: Window{Backlog: Backlog{Waiting: 800, AtOnce: 256, Due: 256}}, want: 6, reason: MaxScale},
		{name: "by rate: what a second of it takes", annotations: map[string]string{"metric": "rps"},
			window: Window{Backlog: Backlog{Waiting: 4000, AtOnce: 256, Due: 256, PerSecond: 1400}}, want: 10, reason: BacklogDemand},
		{name: "all its deliveries are made already", window: Window{Backlog: fromKafka, Held: 320}, want: 5, reason: HeldDemand},
		{name: "500 events to a replica", backlogOf: "500", window: Window{Backlog: fromKafka, Held: 320}, want: 200, reason: BacklogDemand},
		{name: "no more replicas than deliveries overlap", backlogOf: "10", window: Window{Backlog: fromKafka, Held: 320}, want: 320, reason: BacklogDemand},
		{name: "in order: no more than lanes", backlogOf: "10", window: Window{Backlog: Backlog{Waiting: 5000, AtOnce: 10}, Held: 10}, want: 10, reason: BacklogDemand},
		{name: "a part of a replica is one", backlogOf: "100", window: Window{Backlog: Backlog{Waiting: 3, AtOnce: 10}}, want: 1, reason: BacklogDemand},
		{name: "one that is not asked for is told only", window: Window{Backlog: Backlog{Waiting: 3, AtOnce: 10}}, want: -1, reason: NoData},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := resolve(tt.concurrency, tt.annotations)
			if tt.backlogOf != "" {
				p = withBacklogTarget(tt.backlogOf)
			}
			in := Input{
				Now: start, Window: tt.window, Policy: p, Reachable: true,
				State: State{Phase: Inactive, PhaseSince: start.Add(-time.Hour), Initialized: true},
			}
			d, s := Decide(in)
			if d.Desired != tt.want || d.Reason != tt.reason {
				t.Errorf("%s, want %d (%s)", Explain(in, d), tt.want, tt.reason)
			}
			if tt.want > 0 && (s.Phase != Activating || !d.Apply || d.Next.IsZero()) {
				t.Errorf("it is not woken: %+v", d)
			}
		})
	}
}

// What waits behind deliveries that are all under way is told, and changes nothing: the windows measure those.
func TestABacklogWithoutDueDeliveriesLeavesTheWindowsAlone(t *testing.T) {
	w := measured(40, 50)
	w.Inflight, w.Backlog = 256, Backlog{Waiting: 9000, AtOnce: 256, PerSecond: 800}
	if d, _ := Decide(running(resolve(10, nil), w, 7)); d.Desired != 6 || d.Reason != StableDemand {
		t.Errorf("got %d (%s)", d.Desired, d.Reason)
	}
}

// Replicas that a backlog asked for stay while it is worked off, also where that is no panic.
func TestABacklogTargetCountsBelowThePanicThreshold(t *testing.T) {
	p := withBacklogTarget("100")
	w := measured(100, 100)
	w.Backlog = Backlog{Waiting: 700, AtOnce: 64}
	if d, _ := Decide(running(p, w, 5)); d.Desired != 7 || d.Panicking || d.Reason != BacklogDemand {
		t.Errorf("got %d (%s), panicking %v", d.Desired, d.Reason, d.Panicking)
	}
	w.Backlog.Waiting = 50
	if d, _ := Decide(running(p, w, 5)); d.Desired != 2 || d.Reason != StableDemand {
		t.Errorf("got %d (%s)", d.Desired, d.Reason)
	}
}

func TestWhatABacklogDidIsExplainedAndReplayed(t *testing.T) {
	in := running(resolve(10, nil), Window{Backlog: Backlog{Waiting: 300, AtOnce: 256, Due: 200}}, 1)
	line, err := Record(in)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := Decide(in)
	again, _, err := Replay([]byte(line))
	if err != nil || again != first {
		t.Errorf("replayed: %+v, decided %+v (%v)", again, first, err)
	}
	if said := Explain(in, first); !strings.Contains(said, "200 deliveries due of 300 events that wait") {
		t.Errorf("%s", said)
	}
	in.Window.Backlog.Due = -1
	if err := in.Check(); err == nil || !strings.Contains(err.Error(), "window.backlog.due") {
		t.Errorf("a negative one: %v", err)
	}
}
