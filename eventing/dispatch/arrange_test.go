package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const broker model.StreamID = "broker/default/main"

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// running is a dispatcher that runs until the test ends or stops it.
type running struct {
	*Dispatcher
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
	sender *send.Sender
}

// run starts a dispatcher on a log with readers.
func run(t *testing.T, o Options, readers ...model.Reader) *running {
	t.Helper()
	s := send.New(send.Options{})
	o.Sender = s
	if o.KeepEvery == 0 {
		o.KeepEvery = time.Millisecond
	}
	r := &running{Dispatcher: New(o), t: t, ended: make(chan error, 1), sender: s}
	r.random = func() float64 { return 0 }
	if err := r.Set(t.Context(), readers); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.Run(ctx) }()
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// stop ends it and returns what Run said.
func (r *running) stop() error {
	r.cancel()
	select {
	case err, ok := <-r.ended:
		if ok {
			close(r.ended)
		}
		r.sender.Close()
		return err
	case <-time.After(patience):
		r.t.Error("Run does not end")
		return nil
	}
}

// look is a reader's snapshot.
func (r *running) look(id model.ReaderID) Reader {
	for _, s := range r.Snapshot() {
		if s.ID == id {
			return s
		}
	}
	return Reader{}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// subscriber is a server that notes what it gets and answers as told.
type subscriber struct {
	*httptest.Server
	mu     sync.Mutex
	ids    []string
	header []http.Header
	// answer may be nil: 202.
	answer func(w http.ResponseWriter, r *http.Request, id string, nth int)
	seen   map[string]int
}

func subscribe(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, id string, nth int)) *subscriber {
	t.Helper()
	s := &subscriber{answer: answer, seen: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// replying answers an event with one whose id says to which.
func replying(w http.ResponseWriter, _ *http.Request, id string, _ int) {
	w.Header().Set("Content-Type", "application/cloudevents+json")
	_, _ = w.Write([]byte(`{"specversion":"1.0","id":"reply-` + id + `","source":"/r","type":"r"}`))
}

func (s *subscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Ce-Id")
	s.mu.Lock()
	s.ids = append(s.ids, id)
	s.header = append(s.header, r.Header.Clone())
	s.seen[id]++
	nth := s.seen[id]
	s.mu.Unlock()
	if s.answer != nil {
		s.answer(w, r, id, nth)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *subscriber) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

func (s *subscriber) headers() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.header)
}

func (s *subscriber) waitFor(t *testing.T, n int) []string {
	t.Helper()
	eventually(t, fmt.Sprintf("%d deliveries", n), func() bool { return len(s.got()) >= n })
	return s.got()
}

// status answers every event the same.
func status(code int) func(http.ResponseWriter, *http.Request, string, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ string, _ int) { w.WriteHeader(code) }
}

// trigger is a reader of the broker from the beginning.
func trigger(name, url string) model.Reader {
	return model.Reader{
		ID: model.ReaderID("trigger/" + name), Kind: model.Trigger, Key: types.NamespacedName{Namespace: "default", Name: name}, Stream: broker,
		Subscriber: model.Destination{URL: url}, Start: model.Start{Earliest: true},
		Delivery: model.Delivery{Retry: 3, Backoff: model.Linear, Delay: time.Second, Timeout: patience},
	}
}

func newEvent(id string, extensions ...string) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/test")
	e.SetType("test")
	for i := 0; i+1 < len(extensions); i += 2 {
		e.SetExtension(extensions[i], extensions[i+1])
	}
	_ = e.SetData("text/plain", []byte("hello"))
	return &e
}

func publish(t *testing.T, l log.Log, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := l.Append(t.Context(), broker, newEvent(id)); err != nil {
			t.Fatal(err)
		}
	}
}

// numbered are the ids from to, both included.
func numbered(from, to int) []string {
	var ids []string
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprintf("%06d", i))
	}
	return ids
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// advance moves a clock until a condition holds, by a little at a time.
func advance(t *testing.T, c *clocktesting.FakeClock, by time.Duration, what string, f func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		if f() {
			return true
		}
		c.Step(by)
		return false
	})
}

// only passes events whose id is in it.
type only []string

func (o only) Pass(e *event.Event) bool { return slices.Contains(o, e.ID()) }
