package signal

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/crds/autoscaling"
)

var (
	start  = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	shop   = Revision{Namespace: "default", Name: "shop-00001"}
	minute = Spec{Stable: time.Minute, Panic: 6 * time.Second, Algorithm: autoscaling.Linear}
	byRate = Spec{Stable: time.Minute, Panic: 6 * time.Second, Algorithm: autoscaling.Linear, Rate: true}
)

func after(d time.Duration) time.Time { return start.Add(d) }

// stream reports the same sample every 200 ms from from to to, both included.
func stream(s *Store, proxy string, from, to time.Duration, sample Sample) {
	sample.Revision = shop
	for at := from; at <= to; at += 200 * time.Millisecond {
		s.Report(proxy, after(at), []Sample{sample})
	}
}

func requireMean(t *testing.T, what string, got decide.Demand, mean float64, covered time.Duration) {
	t.Helper()
	if math.Abs(got.Mean-mean) > 1e-3 || (got.Covered-covered).Abs() > time.Millisecond {
		t.Errorf("%s: %v over %v, want %v over %v", what, got.Mean, got.Covered, mean, covered)
	}
}

func TestProxiesAddUp(t *testing.T) {
	s := New(start, 0)
	stream(s, "a", 0, 10*time.Second, Sample{Inflight: 3})
	stream(s, "b", 0, 10*time.Second, Sample{Inflight: 4})
	w := s.Window(shop, minute, after(10*time.Second))
	requireMean(t, "stable", w.Stable, 7, 10*time.Second)
	requireMean(t, "panic", w.Panic, 7, 6*time.Second)
	if w.Inflight != 7 || w.Held != 0 {
		t.Errorf("in flight %v, held %v", w.Inflight, w.Held)
	}
}

// One report a second, at the second's end, is what Knative's buckets get: 40 s at 10 and 20 s at 40 are 20 over the minute.
func TestWholeSecondsGiveKnativesAverage(t *testing.T) {
	s := New(start, 0)
	for i := 0; i <= 60; i++ {
		load := 10.
		if i >= 40 {
			load = 40
		}
		s.Report("a", after(time.Duration(i)*time.Second), []Sample{{Revision: shop, Inflight: load}})
	}
	w := s.Window(shop, minute, after(time.Minute))
	requireMean(t, "stable", w.Stable, (39.5*10+20.5*40)/60, time.Minute) // the step lies between two reports
	requireMean(t, "panic", w.Panic, 40, 6*time.Second)
}

func TestTheWindowSlidesWithTheReports(t *testing.T) {
	s := New(start, 0)
	stream(s, "a", 0, 60*time.Second, Sample{Inflight: 10})
	stream(s, "a", 60200*time.Millisecond, 63*time.Second, Sample{Inflight: 100})
	at := 63 * time.Second
	w := s.Window(shop, minute, after(at))
	requireMean(t, "stable", w.Stable, (57.1*10+2.9*100)/60, time.Minute)
	requireMean(t, "panic", w.Panic, (3.1*10+2.9*100)/6, 6*time.Second)
	// Between two reports the last one stands, and the oldest second goes bit by bit.
	w = s.Window(shop, minute, after(at+150*time.Millisecond))
	requireMean(t, "panic, 150 ms on", w.Panic, (2.95*10+3.05*100)/6, 6*time.Second)
}

func TestASilentSourceAgesOut(t *testing.T) {
	s := New(start, 2*time.Second)
	stream(s, "a", 0, 10*time.Second, Sample{Inflight: 10})
	stream(s, "b", 0, 20*time.Second, Sample{Inflight: 1})
	w := s.Window(shop, minute, after(20*time.Second))
	if w.Inflight != 1 {
		t.Errorf("in flight %v: the silent proxy still counts", w.Inflight)
	}
	requireMean(t, "panic", w.Panic, 1, 6*time.Second)
	requireMean(t, "stable", w.Stable, (20*1+12*10)/20., 20*time.Second) // its last word counted for 2 s
}

func TestWhenAllAreSilentNothingIsKnown(t *testing.T) {
	s := New(start, 2*time.Second)
	stream(s, "a", 0, 10*time.Second, Sample{Inflight: 10})
	requireMean(t, "just after", s.Window(shop, minute, after(15*time.Second)).Stable, 10, 12*time.Second)
	if w := s.Window(shop, minute, after(80*time.Second)); w.Stable.Covered != 0 || w.Inflight != 0 {
		t.Errorf("a window later: %+v", w)
	}
	// It speaks again: the time between is not known, and not taken for zero.
	stream(s, "a", 80*time.Second, 82*time.Second, Sample{Inflight: 10})
	requireMean(t, "again", s.Window(shop, minute, after(82*time.Second)).Stable, 10, 2*time.Second)
}

func TestAReplicaThatIsGoneNoLongerCounts(t *testing.T) {
	s := New(start, 0)
	stream(s, "a", 0, time.Second, Sample{Inflight: 10})
	s.Drop("a", after(time.Second))
	w := s.Window(shop, minute, after(2*time.Second))
	if w.Inflight != 0 {
		t.Errorf("in flight %v after it was dropped", w.Inflight)
	}
	requireMean(t, "stable", w.Stable, 5, 2*time.Second)

	stream(s, "node", 0, 3*time.Second, Sample{Inflight: 10})
	s.Report("node", after(3100*time.Millisecond), []Sample{{Revision: Revision{Name: "other"}}})
	if w := s.Window(shop, minute, after(3200*time.Millisecond)); w.Inflight != 0 {
		t.Errorf("in flight %v after the proxy stopped naming the revision", w.Inflight)
	}
}

func TestHeldRequestsAreDemandAtOnce(t *testing.T) {
	s := New(start, 0)
	if w := s.Window(shop, minute, start); w != (decide.Window{}) {
		t.Fatalf("nobody spoke, but %+v", w)
	}
	s.Held("hold-0", start, shop, 30)
	s.Held("hold-1", start, shop, 20)
	if w := s.Window(shop, minute, start); w.Held != 50 {
		t.Errorf("held %v", w.Held)
	}
	w := s.Window(shop, minute, after(500*time.Millisecond))
	requireMean(t, "stable", w.Stable, 50, 500*time.Millisecond)
	s.Held("hold-0", after(500*time.Millisecond), shop, 0)
	s.Held("hold-1", after(500*time.Millisecond), shop, 0)
	w = s.Window(shop, minute, after(time.Second))
	requireMean(t, "after the release", w.Stable, 25, time.Second)
	if w.Held != 0 {
		t.Errorf("held %v after the release", w.Held)
	}
}

func TestAHoldThatDiesDoesNotHoldForEver(t *testing.T) {
	s := New(start, 2*time.Second)
	s.Held("hold-0", start, shop, 5)
	for i := 1; i <= 10; i++ {
		s.Touch("hold-0", after(time.Duration(i)*time.Second))
	}
	if w := s.Window(shop, minute, after(11*time.Second)); w.Held != 5 {
		t.Errorf("a hold that repeats itself: %v", w.Held)
	}
	if w := s.Window(shop, minute, after(13*time.Second)); w.Held != 0 {
		t.Errorf("a hold that fell silent: %v", w.Held)
	}
	s.Touch("hold-0", after(14*time.Second))
	if w := s.Window(shop, minute, after(14*time.Second)); w.Held != 5 {
		t.Errorf("a hold that was only slow: %v", w.Held)
	}
	s.Drop("hold-0", after(15*time.Second))
	if w := s.Window(shop, minute, after(15*time.Second)); w.Held != 0 {
		t.Errorf("a hold that is gone: %v", w.Held)
	}
}

func TestABacklogCountsAsLongAsItsBrokerSpeaksOfIt(t *testing.T) {
	s := New(start, 2*time.Second)
	other := Revision{Namespace: "default", Name: "other"}
	s.Backlogs("broker", start, map[Revision]decide.Backlog{shop: {Waiting: 900, AtOnce: 256, Due: 200}, other: {Waiting: 5, AtOnce: 1}})
	s.Backlogs("second", start, map[Revision]decide.Backlog{shop: {Waiting: 100, AtOnce: 10, PerSecond: 7}})
	want := decide.Backlog{Waiting: 1000, AtOnce: 266, Due: 200, PerSecond: 7}
	if w := s.Window(shop, minute, start); w.Backlog != want || w.Held != 0 || w.Inflight != 0 {
		t.Errorf("%+v, want %+v", w, want)
	}
	// What is due is demand as what is held is: it counts in the windows, and not twice once it was delivered.
	w := s.Window(shop, minute, after(500*time.Millisecond))
	requireMean(t, "due", w.Stable, 200, 500*time.Millisecond)
	s.Backlogs("broker", after(500*time.Millisecond), map[Revision]decide.Backlog{shop: {Waiting: 700, AtOnce: 256}})
	if w := s.Window(other, minute, after(500*time.Millisecond)); w.Backlog != (decide.Backlog{}) {
		t.Errorf("not named any more: %+v", w.Backlog)
	}
	w = s.Window(shop, minute, after(time.Second))
	requireMean(t, "delivered", w.Stable, 100, time.Second)
	if w := s.Window(shop, minute, after(2100*time.Millisecond)); w.Backlog.Waiting != 700 {
		t.Errorf("one of two fell silent: %+v", w.Backlog)
	}
	s.Drop("broker", after(2200*time.Millisecond))
	if w := s.Window(shop, minute, after(2200*time.Millisecond)); w.Backlog != (decide.Backlog{}) {
		t.Errorf("both are gone: %+v", w.Backlog)
	}
}

func TestRatesCountEachRequestOnce(t *testing.T) {
	s := New(start, 0)
	stream(s, "a", 0, 10*time.Second, Sample{Requests: 20})
	w := s.Window(shop, byRate, after(10*time.Second))
	requireMean(t, "100 a second", w.Panic, 100, 6*time.Second)

	// 50 requests are held at 10 s and released at 10.4 s: then the replica counts them.
	s.Held("hold-0", after(10*time.Second), shop, 50)
	held := s.Window(shop, byRate, after(10*time.Second)).Panic
	requireMean(t, "when they arrive", held, (600+50)/6., 6*time.Second)
	s.Held("hold-0", after(10400*time.Millisecond), shop, 0)
	s.Report("a", after(10200*time.Millisecond), []Sample{{Revision: shop, Requests: 20}})
	s.Report("a", after(10400*time.Millisecond), []Sample{{Revision: shop, Requests: 20 + 50}})
	stream(s, "a", 10600*time.Millisecond, 12*time.Second, Sample{Requests: 20})
	requireMean(t, "when they are answered", s.Window(shop, byRate, after(12*time.Second)).Panic, (600+50)/6., 6*time.Second)
}

func TestABurstAtZeroIsTakenForASecondsRate(t *testing.T) {
	s := New(start, 0)
	s.Held("hold-0", start, shop, 50)
	requireMean(t, "10 ms on", s.Window(shop, byRate, after(10*time.Millisecond)).Stable, 50, 10*time.Millisecond)
}

func TestWindowsOfOtherLengthsKeepWhatFits(t *testing.T) {
	s := New(start, 0)
	stream(s, "a", 0, 30*time.Second, Sample{Inflight: 10})
	long := minute
	long.Stable = time.Hour
	requireMean(t, "an hour", s.Window(shop, long, after(30*time.Second)).Stable, 10, 30*time.Second)
	short := minute
	short.Stable, short.Panic = 6*time.Second, time.Second
	w := s.Window(shop, short, after(30*time.Second))
	requireMean(t, "six seconds", w.Stable, 10, 6*time.Second)
	requireMean(t, "one second", w.Panic, 10, time.Second)
}

func TestRevisionsAtRestTakeNoRoom(t *testing.T) {
	s := New(start, 0)
	stream(s, "a", 0, time.Second, Sample{})
	s.Rest(shop, after(time.Second))
	if s.Len() != 1 {
		t.Error("a revision that a proxy speaks of was freed")
	}
	s.Drop("a", after(time.Second))
	s.Rest(shop, after(time.Second))
	if s.Len() != 0 {
		t.Error("a revision at rest was kept")
	}
	s.Held("hold-0", after(2*time.Second), shop, 0)
	s.Window(shop, minute, after(2*time.Second))
	if s.Len() != 0 {
		t.Error("asking made room for it")
	}
}

func TestWhatNobodySpeaksOfIsSweptAway(t *testing.T) {
	s := New(start, 0)
	for i := range 100 {
		name := fmt.Sprintf("gone-%d", i)
		s.Report(name, start, []Sample{{Revision: Revision{Name: name}, Inflight: 1}})
	}
	stream(s, "a", 0, 3*time.Minute, Sample{Inflight: 1})
	if s.Len() != 1 || len(s.sources) != 1 {
		t.Errorf("%d revisions and %d sources are left, want one of each", s.Len(), len(s.sources))
	}
}

func TestARevisionTakesAFewKilobytes(t *testing.T) {
	const n = 2000
	s := New(start, 0)
	var before, then runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		revision := Revision{Namespace: "default", Name: fmt.Sprintf("r-%d", i)}
		for j := range 5 {
			s.Report(fmt.Sprintf("proxy-%d", i), after(time.Duration(j)*200*time.Millisecond), []Sample{{Revision: revision, Inflight: 1}})
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&then)
	if each := (int64(then.HeapAlloc) - int64(before.HeapAlloc)) / n; each > 4096 {
		t.Errorf("%d bytes for each active revision", each)
	}
	runtime.KeepAlive(s)
}

func TestConcurrentUseLosesNothingHeld(t *testing.T) {
	s := New(start, 0)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			hold := fmt.Sprintf("hold-%d", g)
			for i := range 2000 {
				at := after(time.Duration(i) * time.Millisecond)
				s.Held(hold, at, shop, i%7)
				s.Window(shop, minute, at)
				s.Rest(shop, at)
				s.Report(hold+"-proxy", at, []Sample{{Revision: shop, Inflight: 1}})
				s.Drop(hold+"-proxy", at)
			}
			s.Held(hold, after(2*time.Second), shop, 3)
		})
	}
	wg.Wait()
	if w := s.Window(shop, minute, after(2*time.Second)); w.Held != 24 {
		t.Errorf("held %v, want 8 × 3", w.Held)
	}
}
