package position

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/log"
)

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// world is a stream whose events are read through a window that crashes now and then.
type world struct {
	t       *testing.T
	random  *rand.Rand
	w       *Window
	ordered bool
	now     time.Time
	saved   []byte
	lanes   map[log.Position]string
	matched []log.Position
	done    map[log.Position]int
	// flying are handed out.
	flying map[log.Position]Item
	next   log.Position
}

func (x *world) step() {
	switch n := x.random.IntN(100); {
	case n < 35:
		x.arrive()
	case n < 65:
		x.handOut()
	case n < 90:
		x.land()
	case n < 95:
		x.now = x.now.Add(time.Duration(x.random.IntN(3000)) * time.Millisecond)
	case n < 98:
		x.saved = x.w.Snapshot().Encode(nil)
	default:
		x.crash()
	}
}

func (x *world) arrive() {
	p := x.next
	x.next += log.Position(1 + x.random.IntN(3))
	if x.random.IntN(3) == 0 {
		x.w.Advance(p)
		return
	}
	if x.lanes[p] == "" {
		x.lanes[p] = string(rune('a' + x.random.IntN(4)))
		x.matched = append(x.matched, p)
	}
	x.w.Add(p, x.lanes[p])
}

func (x *world) handOut() {
	it, ok := x.w.Next(x.now)
	if !ok {
		return
	}
	if _, twice := x.flying[it.Position]; twice {
		x.t.Fatalf("position %d handed out twice", it.Position)
	}
	if it.Due.After(x.now) {
		x.t.Fatalf("position %d handed out before it is due", it.Position)
	}
	if x.ordered {
		x.orderly(it.Position)
	}
	x.flying[it.Position] = it
}

// orderly checks that everything before a position in its lane is done.
func (x *world) orderly(p log.Position) {
	for _, before := range x.matched {
		if before < p && x.lanes[before] == x.lanes[p] && x.done[before] == 0 {
			x.t.Fatalf("position %d of lane %s handed out before %d", p, x.lanes[p], before)
		}
	}
}

func (x *world) land() {
	for p, it := range x.flying {
		delete(x.flying, p)
		switch x.random.IntN(4) {
		case 0:
			it.Failed++
			it.Due = x.now.Add(time.Duration(x.random.IntN(2000)+1) * time.Millisecond)
			x.w.Again(it)
		case 1:
			x.w.Again(it)
		default:
			x.done[p]++
			x.w.Done(p)
		}
		return
	}
}

// crash goes back to what was saved; the stream is read again from there, and what was done since is done again.
func (x *world) crash() {
	state, err := Decode(x.saved)
	if err != nil {
		x.t.Fatal(err)
	}
	again := map[log.Position]bool{}
	for _, it := range state.Items {
		again[it.Position] = true
	}
	for _, p := range x.matched {
		if again[p] || p > state.Scanned {
			x.done[p] = 0
		} else if x.done[p] == 0 {
			x.t.Fatalf("position %d is lost: neither done nor in the state", p)
		}
	}
	x.w = Restore(state, x.ordered, func(p log.Position) string { return x.lanes[p] })
	x.flying = map[log.Position]Item{}
	for _, p := range x.matched {
		if p > state.Scanned {
			x.w.Add(p, x.lanes[p])
		}
	}
}

func TestNothingIsLostAndOrderIsKeptThroughCrashes(t *testing.T) {
	for seed := range uint64(60) {
		x := &world{
			t: t, random: rand.New(rand.NewPCG(seed, 1)), ordered: seed%2 == 1, now: epoch, next: 1,
			lanes: map[log.Position]string{}, done: map[log.Position]int{}, flying: map[log.Position]Item{},
		}
		x.w = New(0, x.ordered)
		x.saved = x.w.Snapshot().Encode(nil)
		for range 3000 {
			x.step()
			if low := x.w.Low(); low > x.w.Scanned() {
				t.Fatalf("low %d is past what was looked at, %d", low, x.w.Scanned())
			}
		}
		for x.w.Open() > 0 {
			x.now = x.now.Add(time.Second)
			x.handOut()
			x.land()
		}
		for _, p := range x.matched {
			if x.done[p] == 0 {
				t.Fatalf("seed %d: position %d is lost", seed, p)
			}
		}
		if x.w.Low() != x.w.Scanned() || x.w.InFlight() != 0 {
			t.Fatalf("seed %d: an empty window: low %d, scanned %d, in flight %d", seed, x.w.Low(), x.w.Scanned(), x.w.InFlight())
		}
	}
}

func TestWhatIsDueGoesBeforeWhatIsNew(t *testing.T) {
	w := New(0, false)
	w.Add(1, "")
	it, _ := w.Next(epoch)
	it.Failed, it.Due = 1, epoch.Add(time.Second)
	w.Again(it)
	w.Add(2, "")
	w.Add(3, "")
	if it, _ := w.Next(epoch); it.Position != 2 {
		t.Error("before it is due:", it)
	}
	if it, _ := w.Next(epoch.Add(time.Second)); it.Position != 1 || it.Failed != 1 {
		t.Error("when it is due:", it)
	}
	if w.Low() != 0 || w.Open() != 3 || w.InFlight() != 2 {
		t.Error("low, open, in flight:", w.Low(), w.Open(), w.InFlight())
	}
}

func TestAFailedEventHoldsUpItsLaneOnly(t *testing.T) {
	w := New(0, true)
	w.Add(1, "a")
	w.Add(2, "a")
	w.Add(3, "b")
	first, _ := w.Next(epoch)
	first.Due = epoch.Add(time.Minute)
	w.Again(first)
	if it, _ := w.Next(epoch); it.Position != 3 {
		t.Error("next:", it)
	}
	if it, ok := w.Next(epoch); ok {
		t.Error("handed out ahead of its lane:", it)
	}
	if at, ok := w.Wait(); !ok || !at.Equal(first.Due) {
		t.Error("waits until", at, ok)
	}
}

func TestIdleAndFullStatesAreSmall(t *testing.T) {
	idle := New(1<<40, false).Snapshot().Encode(nil)
	if len(idle) > 16 {
		t.Errorf("idle: %d bytes", len(idle))
	}
	w := New(1<<40, false)
	for i := range 1024 {
		w.Add(1<<40+log.Position(3*i+1), "")
		it, _ := w.Next(epoch)
		it.Failed, it.Due, it.Stage, it.Ref = 9, epoch.Add(time.Hour), DeadLetter, log.Position(1<<30+i)
		w.Again(it)
	}
	if full := w.Snapshot().Encode(nil); len(full) > 20<<10 {
		t.Errorf("full: %d bytes", len(full))
	}
}

func TestBrokenStatesAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty": nil, "another version": {9, 1}, "cut": {1}, "not grown": {1, 5, 0, 2}, "past what was looked at": {1, 5, 6, 2},
		"an empty run": {1, 5, 1, 0}, "a huge run": {1, 5, 1, 0xfe, 0xff, 0xff, 0xff, 0x7f}, "an unknown stage": {1, 5, 1, 99, 0, 0, 0},
	} {
		if _, err := Decode(b); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 5})
	f.Add(State{Scanned: 9, Items: []Item{{Position: 1}, {Position: 2}, {Position: 7, Stage: Reply, Failed: 2, Due: epoch, Ref: 4}}}.Encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		last := log.Position(0)
		for _, it := range s.Items {
			if it.Position <= last || it.Position > s.Scanned {
				t.Fatalf("positions: %v of %d", it.Position, s.Scanned)
			}
			last = it.Position
		}
		again, err := Decode(s.Encode(nil))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%v: %v, %v", s, again, err)
		}
		if once, twice := s.Encode(nil), again.Encode(nil); !bytes.Equal(once, twice) {
			t.Fatal("the encoding is not stable")
		}
		Restore(s, true, func(log.Position) string { return "" })
	})
}

func TestStatesThatDoNotSayWhereTheyBeganAreRead(t *testing.T) {
	old := []byte{unbegun, 7}
	s, err := Decode(old)
	if err != nil || s.Scanned != 7 || s.Began != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	w := New(3, false)
	w.Add(5, "")
	s, err = Decode(w.Snapshot().Encode(nil))
	if err != nil || s.Began != 3 || Restore(s, false, nil).Began() != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}
