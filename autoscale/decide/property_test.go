package decide

import (
	"math"
	oldrand "math/rand"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"

	"ebb.dev/ebb/crds/autoscaling"
)

// anyInput is an input that can occur: policies as ResolvePolicy gives them, demand and state of every size.
type anyInput struct{ Input }

func (anyInput) Generate(source *oldrand.Rand, _ int) reflect.Value {
	r := rand.New(rand.NewPCG(source.Uint64(), source.Uint64()))
	demand := func() float64 { return math.Round(math.Pow(10, 4*r.Float64())*100)/100 - 1 }
	maybe := func() bool { return r.IntN(2) == 0 }
	p := resolve([]int64{0, 1, 10, 100}[r.IntN(4)], nil)
	p.TargetBurstCapacity = []float64{-1, 0, 10, 211}[r.IntN(4)]
	p.MinScale = int32(r.IntN(4))
	if maybe() {
		p.MaxScale = p.MinScale + int32(r.IntN(50)) + 1
	}
	p.InitialScale = int32(r.IntN(3))
	p.ActivationScale = []int32{0, 0, 2, 5}[r.IntN(4)]
	p.ScaleDownDelay = []time.Duration{0, 0, 30 * time.Second, 10 * time.Minute}[r.IntN(4)]
	p.ScaleToZero = r.IntN(4) > 0
	if r.IntN(4) == 0 {
		p.Metric, p.Target, p.Total = autoscaling.RPS, 140, 200
	}
	in := Input{
		Now: start, Policy: p, Reachable: r.IntN(4) > 0, Holding: maybe(),
		Replicas: Replicas{Ready: int32(r.IntN(40)), Wanted: int32(r.IntN(40))},
		Window:   Window{Stable: Demand{demand(), time.Minute}, Panic: Demand{demand(), 6 * time.Second}, Inflight: demand()},
		State: State{
			Known: true, Recommended: int32(r.IntN(40)), Phase: []Phase{Activating, Active, Inactive}[r.IntN(3)],
			PhaseSince: start.Add(-time.Duration(r.IntN(900)) * time.Second), Initialized: maybe(),
		},
	}
	if maybe() {
		in.Window.Held = math.Ceil(demand())
	}
	if maybe() {
		waiting := math.Ceil(demand())
		in.Window.Backlog = Backlog{Waiting: waiting, AtOnce: min(waiting, 256), Due: min(waiting, float64(r.IntN(256)))}
		in.Policy.BacklogTarget = []float64{0, 0, 1, 100}[r.IntN(4)]
	}
	if maybe() {
		in.State.PanicSince, in.State.PanicReplicas = start.Add(-time.Duration(r.IntN(70))*time.Second), int32(r.IntN(60))
	}
	if p.ScaleDownDelay > 0 && in.Reachable {
		in.State.Peaks = remember(nil, start.Add(-time.Minute), int32(r.IntN(60)), p.ScaleDownDelay)
	}
	return reflect.ValueOf(anyInput{in})
}

func check(t *testing.T, property any) {
	t.Helper()
	if err := quick.Check(property, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
}

func TestMoreDemandNeverAsksForFewerReplicas(t *testing.T) {
	check(t, func(a anyInput, moreStable, moreShort, moreHeld uint16) bool {
		more := a.Input
		more.Window.Stable.Mean += float64(moreStable)
		more.Window.Panic.Mean += float64(moreShort)
		more.Window.Held += float64(moreHeld)
		_, less := Decide(a.Input)
		_, greater := Decide(more)
		return greater.Recommended >= less.Recommended
	})
}

func TestMoreReadyReplicasNeverLowerTheFloor(t *testing.T) {
	check(t, func(a anyInput) bool {
		if !a.Reachable {
			return true
		}
		_, s := Decide(a.Input)
		return s.Recommended >= int32(math.Floor(math.Max(1, float64(a.Replicas.Ready))/a.Policy.MaxScaleDownRate))
	})
}

func TestWhatIsAppliedKeepsItsBounds(t *testing.T) {
	check(t, func(a anyInput) bool {
		d, _ := Decide(a.Input)
		p := a.Policy
		if d.Desired < Unknown || d.Apply && d.Desired < 0 {
			return false
		}
		if most := max(p.MaxScale, p.InitialScale); p.MaxScale > 0 && d.Desired > most {
			return false
		}
		if d.Apply && a.Reachable && d.Desired < p.MinScale {
			return false
		}
		return p.ScaleToZero || !d.Apply || d.Desired > 0
	})
}

func TestNobodyWhoIsHeldWaitsForNothing(t *testing.T) {
	check(t, func(a anyInput) bool {
		if a.Window.Held == 0 {
			return true
		}
		d, s := Decide(a.Input)
		return d.Apply && d.Desired >= 1 && s.Phase != Inactive && !d.PrepareSleep && !d.Next.IsZero()
	})
}

func TestNoReplicaGoesInPanic(t *testing.T) {
	check(t, func(a anyInput) bool {
		_, s := Decide(a.Input)
		if s.PanicSince.IsZero() || a.State.PanicSince.IsZero() || a.State.PanicSince.Add(a.Policy.StableWindow).Before(a.Now) {
			return true
		}
		return s.Recommended >= a.State.PanicReplicas
	})
}

func TestADecisionRepeatsFromItsLogLine(t *testing.T) {
	check(t, func(a anyInput) bool {
		before := a.Input
		before.State.Peaks = append([]Peak(nil), a.State.Peaks...)
		d, s := Decide(a.Input)
		if diff := cmp.Diff(before, a.Input); diff != "" {
			t.Errorf("the input changed: %s", diff)
		}
		line, err := Record(a.Input)
		if err != nil {
			t.Error(err)
			return false
		}
		d2, s2, err := Replay([]byte(line))
		return err == nil && cmp.Equal(d, d2) && cmp.Equal(s, s2)
	})
}

func FuzzReplay(f *testing.F) {
	line, err := Record(running(resolve(1, nil), Window{Stable: Demand{3, time.Minute}, Panic: Demand{9, 6 * time.Second}, Held: 4}, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(line))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"policy":{"target":1,"maxScaleUpRate":1e308,"maxScaleDownRate":2,"panicThreshold":1e-308,"stableWindow":1},"window":{"held":1e308},"replicas":{"ready":2147483647}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		d, s, err := Replay(line)
		if err != nil {
			return
		}
		if d.Desired < Unknown || s.Known && s.Recommended < Unknown {
			t.Errorf("decided %+v, %+v", d, s)
		}
	})
}
