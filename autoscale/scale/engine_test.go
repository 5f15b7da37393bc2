package scale

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/crds/autoscaling"
)

const group = autoscaling.GroupName + "/"

func (r *rig) require(what string, want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.said()); diff != "" {
		r.t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func TestAHeldBurstWakesWithItsOwnNumberAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.sleeping(Spec{ContainerConcurrency: 1})
	r.demand(0, 50)
	r.engine.Poke(shop)
	r.turn()
	r.require("50 held at containerConcurrency 1", "up 72")
}

func TestPokesDuringAScaleUpBecomeOneMoreLook(t *testing.T) {
	r := newRig(t, nil)
	r.sleeping(Spec{ContainerConcurrency: 1})
	gate := r.gateOn("up 2")
	r.demand(0, 1)
	r.engine.Poke(shop)
	r.decide()
	<-gate.reached
	before, _ := r.engine.Snapshot(shop)
	for n := 2; n <= 50; n++ {
		r.demand(0, float64(n))
		r.engine.Poke(shop)
		r.decide()
	}
	if during, _ := r.engine.Snapshot(shop); during.Decisions != before.Decisions {
		t.Errorf("%d decisions while the patch was under way", during.Decisions-before.Decisions)
	}
	close(gate.open)
	r.effects()
	r.turn()
	r.require("the first request, then all of them", "up 2", "up 72")
	if after, _ := r.engine.Snapshot(shop); after.Decisions != before.Decisions+1 {
		t.Errorf("%d decisions after the patch, want one", after.Decisions-before.Decisions)
	}
}

func TestPokesInQuickSuccessionAreBounded(t *testing.T) {
	r := newRig(t, nil)
	r.serving(1, Spec{})
	r.passTime(10 * time.Millisecond)
	before, _ := r.engine.Snapshot(shop)
	for range 1000 {
		r.engine.Poke(shop)
		r.decide()
		r.clock.Step(10 * time.Microsecond) // 10 ms in all
	}
	if after, _ := r.engine.Snapshot(shop); after.Decisions-before.Decisions > 6 {
		t.Errorf("%d decisions in 10 ms", after.Decisions-before.Decisions)
	}
}

func TestARevisionIsLookedAtEveryTwoSeconds(t *testing.T) {
	r := newRig(t, nil)
	r.serving(1, Spec{})
	before, _ := r.engine.Snapshot(shop)
	r.passTime(20 * time.Second)
	if after, _ := r.engine.Snapshot(shop); after.Decisions-before.Decisions != 10 {
		t.Errorf("%d decisions in 20 s", after.Decisions-before.Decisions)
	}
	r.require("steady demand")
}

func TestScalingDownGoesByTheDownscaler(t *testing.T) {
	r := newRig(t, nil)
	r.serving(10, Spec{})
	r.passTime(62 * time.Second) // a restart with more than one replica keeps them for a stable window
	r.require("while nothing is known for sure")
	r.demand(70, 0)
	r.passTime(10 * time.Second)
	r.require("no faster than by half", "down 10→5", "down 5→2", "down 2→1")
}

func TestGoingToSleepWaitsForTheGateways(t *testing.T) {
	r := newRig(t, nil)
	r.serving(1, Spec{Annotations: map[string]string{group + "target-burst-capacity": "0"}})
	gate := r.gateOn("sleep")
	r.demand(0, 0)
	r.clock.Step(2 * time.Second)
	r.decide()
	<-gate.reached
	for range 20 { // however long the gateways take
		r.clock.Step(2 * time.Second)
		r.decide()
	}
	r.require("while they have not confirmed", "sleep")
	close(gate.open)
	r.effects()
	r.turn()
	r.passTime(35 * time.Second)
	r.require("after that and the grace period", "down 1→0")
	snapshot, _ := r.engine.Snapshot(shop)
	if !snapshot.Due.IsZero() || snapshot.Decision.Reason != decide.Asleep || r.rested == 0 {
		t.Errorf("at zero: due %v, %s, rested %d times", snapshot.Due, snapshot.Decision.Reason, r.rested)
	}
}

// A request that came in the grace period was held until its route's timeout: nobody had told the gateways to serve again.
func TestDemandInTheGracePeriodIsServedByTheLastReplica(t *testing.T) {
	r := newRig(t, nil)
	r.serving(1, Spec{Annotations: map[string]string{group + "target-burst-capacity": "0"}})
	r.demand(0, 0)
	r.passTime(4 * time.Second)
	r.require("the gateways hold, the replica stays for the grace period", "sleep")
	r.demand(0, 1)
	r.clock.Step(10 * time.Millisecond)
	r.engine.Poke(shop)
	r.turn()
	r.require("with a request held", "serve again")
	if c := r.Replicas(shop); c.Wanted != 1 {
		t.Errorf("%d replicas wanted", c.Wanted)
	}
}

func TestDemandThatComesBackStopsGoingToSleep(t *testing.T) {
	for _, at := range []string{"sleep", "down 1→0"} {
		t.Run(at, func(t *testing.T) {
			r := newRig(t, nil)
			r.serving(1, Spec{})
			r.passTime(40 * time.Second) // the buffer is in the path for longer than the grace period
			gate := r.gateOn(at)
			r.demand(0, 0)
			r.clock.Step(2 * time.Second)
			r.decide()
			if at != "sleep" {
				r.effects() // the gateways confirm at once
				r.decide()
			}
			<-gate.reached
			r.demand(0, 1)
			r.clock.Step(10 * time.Millisecond)
			r.engine.Poke(shop)
			r.decide()
			r.effects() // the gate is shut: only a cancelled context lets the effect go
			r.turn()
			if c := r.Replicas(shop); c.Wanted != 1 {
				t.Errorf("%d replicas wanted", c.Wanted)
			}
			snapshot, _ := r.engine.Snapshot(shop)
			if snapshot.State.Phase != decide.Active || snapshot.Effect != "" {
				t.Errorf("phase %s, effect %q", snapshot.State.Phase, snapshot.Effect)
			}
		})
	}
}

func TestARequestThatCameTooLateForTheDownWakesAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.serving(1, Spec{})
	r.passTime(40 * time.Second)
	r.demand(0, 0)
	poked := false
	r.gate = func(_ context.Context, call string) error {
		if call == "down 1→0" && !poked {
			poked = true
			r.demand(0, 1)
			r.clock.Step(10 * time.Millisecond)
			r.engine.Poke(shop) // it is looked at only after the patch
		}
		return nil
	}
	r.passTime(2 * time.Second)
	r.require("down, and up without a tick", "sleep", "down 1→0", "up 1")
}

func TestGatewaysThatSeeDemandStopTheSleep(t *testing.T) {
	r := newRig(t, nil)
	r.demandBack = true
	r.serving(1, Spec{})
	r.demand(0, 0)
	r.passTime(time.Second + 900*time.Millisecond)
	r.passTime(2 * time.Second)
	calls := r.said()
	if len(calls) < 2 || len(calls) > 8 {
		t.Errorf("tried %d times in 2 s, want a few with growing pauses: %v", len(calls), calls)
	}
	for _, c := range calls {
		if c != "sleep" {
			t.Errorf("got to %q", c)
		}
	}
}

func TestAFailedPatchIsTriedAgainWithGrowingPauses(t *testing.T) {
	r := newRig(t, nil)
	r.sleeping(Spec{})
	fail := true
	r.gate = func(context.Context, string) error {
		if fail {
			return errors.New("the API server is away")
		}
		return nil
	}
	r.demand(0, 1)
	r.engine.Poke(shop)
	r.turn()
	r.require("at once", "up 1")
	if s, _ := r.engine.Snapshot(shop); s.Failures != 1 || s.RetryAt.Sub(r.clock.Now()) != backoffMin {
		t.Errorf("%d failures, again after %v", s.Failures, s.RetryAt.Sub(r.clock.Now()))
	}
	r.passTime(10 * time.Second)
	if n := len(r.said()); n < 6 || n > 12 {
		t.Errorf("tried %d times in 10 s", n)
	}
	fail = false
	r.passTime(backoffMax)
	r.require("when it is back", "up 1")
	if s, _ := r.engine.Snapshot(shop); s.Failures != 0 {
		t.Errorf("%d failures after it worked", s.Failures)
	}
}

func TestAFailingDownDoesNotHinderAnUp(t *testing.T) {
	r := newRig(t, nil)
	r.serving(1, Spec{})
	r.gate = func(_ context.Context, call string) error {
		if call == "sleep" {
			return errors.New("a gateway does not answer")
		}
		return nil
	}
	r.demand(0, 0)
	r.passTime(5 * time.Second)
	r.said()
	r.demand(1, 200)
	r.engine.Poke(shop)
	r.decide()
	r.effects()
	r.require("without waiting for the next try", "up 3")
}

func TestTheEngineTrustsItsOwnPatchOverAStaleCache(t *testing.T) {
	r := newRig(t, nil)
	r.sleeping(Spec{})
	r.gate = func(context.Context, string) error { return nil }
	stale := r.Replicas(shop)
	r.demand(0, 1)
	r.engine.Poke(shop)
	r.turn()
	r.mu.Lock()
	r.counts[shop] = stale // the informer has not seen the patch
	r.mu.Unlock()
	for range 10 {
		r.clock.Step(50 * time.Millisecond)
		r.engine.Poke(shop)
		r.turn()
	}
	r.require("one patch", "up 1")
	r.passTime(3 * time.Second) // it really is not so: someone set it back
	r.require("then it is set right", "up 1")
}

func TestPoliciesAreHonouredLive(t *testing.T) {
	r := newRig(t, nil)
	r.serving(1, Spec{})
	annotated := Spec{Reachable: true, Annotations: map[string]string{group + "minScale": "3"}}
	r.engine.Upsert(shop, annotated)
	r.turn()
	r.require("an annotation", "up 3")

	config := autoscaling.DefaultConfig()
	config.MinScale = 5
	r.engine.SetConfig(config)
	r.turn()
	r.require("the annotation outweighs the ConfigMap")
	r.engine.Upsert(shop, Spec{Reachable: true})
	r.turn()
	r.require("without it the ConfigMap counts", "up 5")

	policy := autoscaling.ResolvePolicy(nil, &config, 0)
	policy.MinScale = 7
	r.engine.UpdatePolicy(shop, policy)
	r.turn()
	r.require("a policy from the caller", "up 7")
	r.engine.SetConfig(autoscaling.DefaultConfig())
	r.turn()
	if s, _ := r.engine.Snapshot(shop); s.Input.Policy.MinScale != 7 {
		t.Error("the ConfigMap changed a policy that was given")
	}
}

func TestAConfigMapWakesWhatMustRun(t *testing.T) {
	r := newRig(t, nil)
	r.sleeping(Spec{})
	config := autoscaling.DefaultConfig()
	config.MinScale = 2
	r.engine.SetConfig(config)
	r.demand(0, 0)
	r.turn()
	r.require("min-scale 2 for all", "up 2")
}

func TestOtherClassesAreLeftAlone(t *testing.T) {
	r := newRig(t, nil)
	r.serving(1, Spec{})
	if r.engine.Upsert(shop, Spec{Annotations: map[string]string{group + "class": autoscaling.HPA}}) {
		t.Error("the HPA's revision was taken on")
	}
	r.demand(700, 0)
	r.engine.Poke(shop)
	r.passTime(5 * time.Second)
	r.require("nothing")
	if len(r.engine.Revisions()) != 0 {
		t.Error("it is still here")
	}
}

func TestARemovedRevisionStopsAndItsSuccessorWaitsForIt(t *testing.T) {
	r := newRig(t, nil)
	r.sleeping(Spec{})
	gate := make(chan struct{})
	reached := make(chan struct{}, 2)
	r.gate = func(context.Context, string) error { // deaf to cancelling
		reached <- struct{}{}
		<-gate
		return nil
	}
	r.demand(0, 1)
	r.engine.Poke(shop)
	r.decide()
	<-reached
	r.engine.Remove(shop)
	r.mu.Lock()
	delete(r.counts, shop)
	r.mu.Unlock()
	r.engine.Upsert(shop, Spec{ContainerConcurrency: 1, Reachable: true})
	r.decide()
	if len(reached) != 0 {
		t.Fatal("two effects at once for one revision")
	}
	close(gate)
	r.turn()
	r.require("first the old, then the new", "up 1", "up 2")
}

// asleepAndTold has a revision at zero, of which that is written, whose replicas take their time to start.
func asleepAndTold(t *testing.T) *rig {
	r := newRig(t, nil)
	r.startAtOnce = false
	r.sleeping(Spec{ContainerConcurrency: 1})
	r.engine.writeStatuses(r.ctx)
	r.writes = 0
	return r
}

func TestStatusesAreCollectedAndWrittenOnce(t *testing.T) {
	r := asleepAndTold(t)
	for n := 1; n <= 20; n++ {
		r.demand(0, float64(n))
		r.clock.Step(10 * time.Millisecond)
		r.engine.Poke(shop)
		r.turn()
	}
	if r.writes != 0 {
		t.Fatalf("%d writes on the way of a waking request", r.writes)
	}
	r.clock.Step(wakeTime)
	r.engine.writeStatuses(r.ctx)
	want := Status{Desired: 29, Actual: 0, Phase: decide.Activating, PhaseReason: decide.PhaseQueued, PhaseSince: start.Add(10 * time.Millisecond), Initialized: true}
	if diff := cmp.Diff(want, r.written[shop]); diff != "" || r.writes != 1 {
		t.Errorf("%d writes (-want +got)\n%s", r.writes, diff)
	}
	r.engine.writeStatuses(r.ctx)
	if r.writes != 1 {
		t.Error("written again without a change")
	}
}

// It wrote that -1 is desired, of every revision that slept, and each Revision was written after it.
func TestWhatSleepsIsSaidToSleepByTheNextEngine(t *testing.T) {
	r := newRig(t, nil)
	before := Status{Phase: decide.Inactive, PhaseReason: decide.PhaseTimedOut, PhaseSince: start.Add(-time.Hour), Initialized: true}
	r.engine.Upsert(shop, Spec{Reachable: true, Before: before})
	r.turn()
	r.engine.writeStatuses(r.ctx)
	if diff := cmp.Diff(before, r.written[shop]); diff != "" || r.writes != 1 {
		t.Errorf("%d writes (-before +written)\n%s", r.writes, diff)
	}
}

func TestWhatIsBornAsleepIsToHaveNoReplica(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Autoscaler.AllowZeroInitialScale, c.Autoscaler.InitialScale = true, 0 })
	r.engine.Upsert(shop, Spec{Reachable: true})
	r.turn()
	r.engine.writeStatuses(r.ctx)
	want := Status{Phase: decide.Inactive, PhaseReason: decide.PhaseNoTraffic, PhaseSince: start, Initialized: true}
	if diff := cmp.Diff(want, r.written[shop]); diff != "" || r.writes != 1 {
		t.Errorf("%d writes (-want +written)\n%s", r.writes, diff)
	}
}

func TestAWakeIsOneWrite(t *testing.T) {
	r := asleepAndTold(t)
	r.demand(0, 1)
	r.engine.Poke(shop)
	for range 5 {
		r.passTime(100 * time.Millisecond)
		r.engine.writeStatuses(r.ctx)
	}
	if r.writes != 0 {
		t.Errorf("%d writes while the replica starts: %+v", r.writes, r.written[shop])
	}
	r.mu.Lock()
	r.counts[shop] = Counts{Wanted: 1, Total: 1, Ready: 1}
	r.mu.Unlock()
	r.engine.Poke(shop)
	r.turn()
	r.engine.writeStatuses(r.ctx)
	if got := r.written[shop]; r.writes != 1 || got.Phase != decide.Active || got.Actual != 1 {
		t.Errorf("%d writes, the last one %+v", r.writes, got)
	}
}

func TestDecisionsAreToldInOrder(t *testing.T) {
	var told []int32
	r := newRig(t, func(c *Config) {
		c.OnDecision = func(_ Revision, d decide.Decision) { told = append(told, d.Desired) }
	})
	r.sleeping(Spec{ContainerConcurrency: 1})
	told = nil
	for _, held := range []float64{1, 5, 50} {
		r.demand(0, held)
		r.clock.Step(10 * time.Millisecond)
		r.engine.Poke(shop)
		r.turn()
	}
	if diff := cmp.Diff([]int32{2, 8, 72}, told); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestASnapshotReplaysItsDecision(t *testing.T) {
	r := newRig(t, nil)
	r.serving(3, Spec{})
	s, ok := r.engine.Snapshot(shop)
	if !ok || s.Why == "" {
		t.Fatalf("snapshot %+v", s)
	}
	line, err := decide.Record(s.Input)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := decide.Replay([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Decision, again); diff != "" {
		t.Errorf("(-snapshot +replay)\n%s", diff)
	}
	if _, ok := r.engine.Snapshot(Revision{Name: "nobody"}); ok {
		t.Error("a snapshot of nobody")
	}
}
