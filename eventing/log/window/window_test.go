package window_test

import (
	"testing"
	"time"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/window"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }

func key(n int) log.Identity { return log.Identity{uint64(n), 1} }

func TestAnEventIsKnownForTheSpan(t *testing.T) {
	w := window.New(10 * time.Second)
	w.Add(key(1), 7, at(0))
	for _, c := range []struct {
		name   string
		key    log.Identity
		second int
		want   log.Position
		known  bool
	}{
		{"another one", key(2), 0, 0, false},
		{"at once", key(1), 0, 7, true},
		{"as long as the span", key(1), 10, 7, true},
		{"after it", key(1), 11, 0, false},
		{"never again", key(1), 0, 0, false},
	} {
		if p, known := w.Find(c.key, at(c.second)); p != c.want || known != c.known {
			t.Errorf("%s: %d, %t, want %d, %t", c.name, p, known, c.want, c.known)
		}
	}
}

// TestAnEventThatIsStoredAgain is about one that had left a window that was shorter.
func TestAnEventThatIsStoredAgain(t *testing.T) {
	w := window.New(time.Minute)
	w.Add(key(1), 7, at(0))
	w.Add(key(1), 8, at(50))
	if p, known := w.Find(key(1), at(70)); p != 8 || !known {
		t.Errorf("once the first has left the window: %d, %t, want 8", p, known)
	}
	if _, known := w.Find(key(1), at(111)); known {
		t.Error("known though the second has left it too")
	}
}

func TestResize(t *testing.T) {
	w := window.New(time.Minute)
	w.Add(key(1), 7, at(0))
	w.Resize(10 * time.Second)
	if _, known := w.Find(key(1), at(20)); known {
		t.Error("known for longer than the shorter span")
	}
	w.Add(key(2), 8, at(20))
	w.Resize(0)
	w.Add(key(3), 9, at(20))
	w.Resize(time.Minute)
	for n := 2; n <= 3; n++ {
		if _, known := w.Find(key(n), at(20)); known {
			t.Errorf("event %d is known, though the window had no span", n)
		}
	}
}

func TestManyEventsComeAndGo(t *testing.T) {
	const each, seconds, span = 700, 40, 10
	w := window.New(span * time.Second)
	for s := range seconds {
		for i := range each {
			n := s*each + i
			if _, known := w.Find(key(n), at(s)); known {
				t.Fatalf("event %d is known before it came", n)
			}
			w.Add(key(n), log.Position(n+1), at(s))
		}
		oldest := max(s-span, 0) * each
		if _, known := w.Find(key(oldest-1), at(s)); known {
			t.Fatalf("second %d: event %d is known still", s, oldest-1)
		}
		for _, n := range []int{oldest, (oldest + s*each) / 2, s*each + each - 1} {
			if p, known := w.Find(key(n), at(s)); !known || p != log.Position(n+1) {
				t.Fatalf("second %d: event %d: %d, %t", s, n, p, known)
			}
		}
	}
}

func BenchmarkAddAndForget(b *testing.B) {
	w := window.New(time.Duration(100_000))
	b.ReportAllocs()
	for n := range b.N {
		now := begin.Add(time.Duration(n))
		if _, known := w.Find(key(n), now); known {
			b.Fatal("known before it came")
		}
		w.Add(key(n), log.Position(n+1), now)
	}
}
