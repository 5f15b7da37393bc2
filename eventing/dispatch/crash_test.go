package dispatch

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

func TestRetriesGoOnAfterACrash(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, nth int) {
		if nth < 4 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	reader := trigger("retried", s.URL)
	reader.Delivery.Delay = time.Hour
	for n := range 3 {
		process := &mortal{Log: m}
		r := run(t, Options{Log: process, Clock: c}, reader)
		if n == 0 {
			publish(t, m, "1")
		}
		advance(t, c, time.Millisecond, "the attempt failed", func() bool { return r.look(reader.ID).Retried == 1 })
		due := r.look(reader.ID).NextAttempt
		if wait := due.Sub(c.Now()); wait > time.Duration(n+1)*time.Hour || wait < time.Duration(n+1)*time.Hour-time.Second {
			t.Fatalf("retry %d is due in %v", n+1, wait)
		}
		advance(t, c, time.Millisecond, "it is kept", func() bool {
			kept, _ := m.Kept(t.Context(), broker, reader.ID)
			state, err := position.Decode(kept)
			return err == nil && len(state.Items) == 1 && state.Items[0].Failed == n+1
		})
		process.crash()
		_ = r.stop()
		c.SetTime(due.Add(-time.Second))
		r = run(t, Options{Log: m, Clock: c}, reader)
		if state := r.look(reader.ID); state.Open != 1 || state.NextAttempt.Sub(due).Abs() > time.Millisecond {
			t.Fatalf("after crash %d: %+v, want due at %v", n+1, state, due)
		}
		if got := len(s.got()); got != n+1 {
			t.Fatalf("%d attempts after crash %d", got, n+1)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		c.SetTime(due.Add(time.Millisecond))
	}
	r := run(t, Options{Log: m, Clock: c}, reader)
	eventually(t, "it is delivered", func() bool { return r.look(reader.ID).Delivered == 1 })
	if n := len(s.got()); n != 4 {
		t.Errorf("%d attempts", n)
	}
}

// witness notes which events a subscriber took, in order, and fails some attempts.
type witness struct {
	mu     sync.Mutex
	random *rand.Rand
	taken  []string
}

func (x *witness) answer(w http.ResponseWriter, _ *http.Request, id string, _ int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.random.IntN(10) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	x.taken = append(x.taken, id)
}

// firsts are the events taken, without what was taken again.
func (x *witness) firsts() (ids []string, again int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	seen := map[string]bool{}
	for _, id := range x.taken {
		if !seen[id] {
			ids = append(ids, id)
		}
		seen[id] = true
	}
	return ids, len(x.taken) - len(ids)
}

func TestNothingIsLostThroughCrashes(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		t.Run(fmt.Sprintf("ordered=%v", ordered), func(t *testing.T) {
			random := rand.New(rand.NewPCG(7, 7))
			m := newMemory(time.Now, broker)
			x := &witness{random: rand.New(rand.NewPCG(1, 2))}
			s := subscribe(t, x.answer)
			reader := trigger("through", s.URL)
			reader.Ordered, reader.Delivery.Retry, reader.Delivery.Delay = ordered, 1000, time.Millisecond
			const events = 1500
			published := 0
			crashes := 0
			for published < events {
				process := &mortal{Log: m}
				r := run(t, Options{Log: process, Window: 32, Grace: time.Millisecond}, reader)
				n := min(events-published, 50+random.IntN(200))
				publish(t, m, numbered(published+1, published+n)...)
				published += n
				got := len(s.got())
				s.waitFor(t, got+random.IntN(n))
				if random.IntN(2) == 0 {
					process.crash()
					crashes++
				}
				_ = r.stop()
				m.trim(broker)
			}
			r := run(t, Options{Log: m}, reader)
			eventually(t, "all is done", func() bool { return r.look(reader.ID).Low == events })
			ids, again := x.firsts()
			if ordered && !slices.Equal(ids, numbered(1, events)) {
				t.Error("not in order, or lost:", len(ids))
			}
			if !slices.Equal(sorted(ids), numbered(1, events)) {
				t.Errorf("%d of %d events were delivered", len(ids), events)
			}
			t.Logf("%d crashes, %d of %d delivered again", crashes, again, events)
		})
	}
}

func TestAPlannedRestartRepeatsNothing(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, func(http.ResponseWriter, *http.Request, string, int) { time.Sleep(time.Millisecond) })
	reader := trigger("restarted", s.URL)
	for i := range 5 {
		r := run(t, Options{Log: m}, reader)
		publish(t, m, numbered(100*i+1, 100*i+100)...)
		s.waitFor(t, 100*i+37)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, Options{Log: m}, reader)
	eventually(t, "all is done", func() bool { return r.look(reader.ID).Low == 500 })
	if got := sorted(s.got()); !slices.Equal(got, numbered(1, 500)) {
		t.Errorf("%d deliveries of 500 events", len(got))
	}
}

func TestDeliveriesThatDoNotEndAreBrokenOffAndCountForNothing(t *testing.T) {
	m := newMemory(time.Now, broker)
	hold := make(chan struct{})
	s := subscribe(t, func(_ http.ResponseWriter, r *http.Request, _ string, nth int) {
		if nth == 1 {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	})
	defer close(hold)
	reader := trigger("endless", s.URL)
	reader.Delivery.Retry = 0
	r := run(t, Options{Log: m, Grace: 10 * time.Millisecond}, reader)
	publish(t, m, "1")
	s.waitFor(t, 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = run(t, Options{Log: m}, reader)
	eventually(t, "it is delivered", func() bool { return r.look(reader.ID).Delivered == 1 })
}

func TestEventsPastTheMemoryBoundAreReadAgain(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, nil)
	reader := trigger("large", s.URL)
	r := run(t, Options{Log: m, EventBytes: 1}, reader)
	publish(t, m, numbered(1, 50)...)
	if got := sorted(s.waitFor(t, 50)); !slices.Equal(got, numbered(1, 50)) || m.gets < 50 {
		t.Error(len(got), m.gets)
	}
	eventually(t, "nothing is in memory", func() bool { return r.look(reader.ID).Open == 0 && r.cached.Load() == 0 })
}

func TestManyReadersFarBehindCatchUpTogether(t *testing.T) {
	m := newMemory(time.Now, broker)
	publish(t, m, numbered(1, near+500)...)
	var readers []model.Reader
	s := subscribe(t, nil)
	for i := range 20 {
		reader := trigger(fmt.Sprintf("r%02d", i), s.URL)
		reader.Filter = only{fmt.Sprintf("%06d", 7*i+3)}
		readers = append(readers, reader)
	}
	r := run(t, Options{Log: m}, readers...)
	s.waitFor(t, 20)
	eventually(t, "all are at the end", func() bool {
		for _, s := range r.Snapshot() {
			if s.Low != near+500 || s.Behind {
				return false
			}
		}
		return true
	})
}

func TestRetriesThatWaitDoNotHoldUpWhatIsNew(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, _ int) {
		if id <= "000015" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	reader := trigger("half", s.URL)
	reader.Delivery.Delay = time.Hour
	r := run(t, Options{Log: m, Clock: c, Window: 16}, reader)
	publish(t, m, numbered(1, 100)...)
	advance(t, c, time.Millisecond, "all but the failed are delivered", func() bool { return r.look(reader.ID).Delivered == 85 })
	if open := r.look(reader.ID).Open; open != 15 {
		t.Errorf("%d are open", open)
	}
}

func TestChangesWhileEventsFlowLoseNothing(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, nil)
	const stable = 5
	var readers []model.Reader
	for i := range stable {
		readers = append(readers, trigger(fmt.Sprint("stable-", i), s.URL))
	}
	r := run(t, Options{Log: m, Window: 32, KeepIdle: 5 * time.Millisecond}, readers...)
	var group sync.WaitGroup
	for worker := range 3 {
		group.Go(func() {
			for i := range 60 {
				passing := trigger(fmt.Sprint("passing-", worker), s.URL+"/passing")
				passing.Ordered, passing.Paused = i%2 == 0, i%5 == 0
				changed := readers[(worker+i)%stable]
				changed.Concurrency, changed.Paused = 1+i%7, i%3 == 0
				if err := errors.Join(r.Upsert(t.Context(), passing), r.Upsert(t.Context(), changed)); err != nil {
					t.Error(err)
				}
				if i%4 == 0 {
					if err := r.Remove(t.Context(), passing.ID); err != nil {
						t.Error(err)
					}
				}
				r.Backlog(changed.ID)
			}
		})
	}
	const events = 500
	publish(t, m, numbered(1, events)...)
	group.Wait()
	if err := r.Set(t.Context(), readers); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is delivered", func() bool {
		for _, reader := range readers {
			if r.look(reader.ID).Delivered != events {
				return false
			}
		}
		return true
	})
	eventually(t, "nothing is in memory", func() bool { return r.cached.Load() == 0 })
}

func TestWhatIsStoredApartIsHeldUntilItIsDone(t *testing.T) {
	m := newMemory(time.Now, broker)
	publish(t, m, "1")
	d := New(Options{Log: m, Sender: &taking{}})
	if err := d.Upsert(t.Context(), trigger("apart", "http://s")); err != nil {
		t.Fatal(err)
	}
	r := d.reader("trigger/apart")
	r.offer(log.Record{Position: 1, Event: newEvent("1")}, 0)
	r.begun = true
	released := func() log.Position {
		if err := d.keeper.keep(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return m.streams[sideStream(r.id)].reads[r.id]
	}
	r.mu.Lock()
	item, _ := r.window.Next(epoch)
	r.mu.Unlock()
	item.Stage, item.Due = position.Reply, time.Now().Add(time.Hour)
	end := r.leave(job{item: item, spec: r.spec, made: newEvent("reply"), ctx: t.Context()})
	if at := released(); end.item.Ref != 1 || at != 0 {
		t.Errorf("stored at %d and released up to %d before the window knows of it", end.item.Ref, at)
	}
	r.settle(end)
	if at := released(); at != 0 {
		t.Errorf("released up to %d while it is to be sent", at)
	}
	r.mu.Lock()
	item, _ = r.window.Next(end.item.Due)
	r.mu.Unlock()
	r.settle(ending{item: item, done: true})
	if at := released(); at != 1 {
		t.Errorf("released up to %d when it is done", at)
	}
	r.retire()
}
