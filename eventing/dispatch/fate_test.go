package dispatch

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch/decide"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// fate asks what became of a position.
func (r *running) fate(l *memory, p log.Position) Fate {
	r.t.Helper()
	records, err := l.Get(r.t.Context(), broker, p)
	if err != nil || len(records) != 1 {
		r.t.Fatal(records, err)
	}
	f, ok := r.Fate(readerA, records[0])
	if !ok {
		r.t.Fatal("no such reader")
	}
	return f
}

func TestEveryEventHasAFateAtEveryReader(t *testing.T) {
	hold := make(chan struct{})
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, _ int) {
		switch id {
		case "refused":
			http.Error(w, "no room", http.StatusBadRequest)
		case "later":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "held":
			<-hold
		}
	})
	l := newMemory(time.Now, broker)
	publish(t, l, "early", "taken", "filtered", "refused", "later", "held")
	reader := trigger("a", s.URL)
	reader.Start = model.Start{Position: 2}
	reader.Filter = only{"early", "taken", "refused", "later", "held", "new"}
	reader.Delivery.Delay, reader.Concurrency = time.Hour, 2
	d := run(t, Options{Log: l}, reader)
	eventually(t, "the last is under way", func() bool { return len(s.got()) == 4 })
	for p, want := range map[log.Position]State{1: Before, 2: Taken, 3: Filtered, 4: Dead, 5: Waiting, 6: Delivering} {
		eventually(t, fmt.Sprintf("%d is %s", p, want), func() bool { return d.fate(l, p).State == want })
	}
	if f := d.fate(l, 4); f.Code != 400 || f.Reason != "no room" || f.To != ToList || f.At.IsZero() {
		t.Errorf("dead: %+v", f)
	}
	if f := d.fate(l, 5); f.Failed != 1 || time.Until(f.Next) < 50*time.Minute {
		t.Errorf("waiting: %+v", f)
	}
	close(hold)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	// After a restart it is not known any more how what had ended by then ended.
	again := run(t, Options{Log: l}, reader)
	for p, want := range map[log.Position]State{1: Before, 2: Done, 3: Filtered, 4: Done, 5: Waiting} {
		if f := again.fate(l, p); f.State != want {
			t.Errorf("after a restart %d is %+v, not %s", p, f, want)
		}
	}
	if _, ok := again.Fate("another", log.Record{}); ok {
		t.Error("a reader that is not there knows")
	}
}

func TestEndsThatAreForgottenAreNotMadeUp(t *testing.T) {
	var s stats
	s.ends.since = 10
	e := event.New()
	for p := log.Position(11); p < 11+3*endsKept; p += 2 {
		s.end(p, decide.Dead(&e, decide.Failure{Code: 503, Data: "full"}), ToSink, epoch)
	}
	last := log.Position(11 + 3*endsKept - 2)
	for p, want := range map[log.Position]struct {
		state State
		known bool
	}{5: {Taken, false}, 11: {Taken, false}, 12: {Taken, false}, last: {Dead, true}, last - 1: {Taken, true}, last + 1: {Taken, true}} {
		if f, known := s.ends.of(p); f.State != want.state || known != want.known {
			t.Errorf("%d: %+v, %t", p, f, known)
		}
	}
	if s.deadSink != 3*endsKept/2 || len(s.ends.last) != endsKept {
		t.Errorf("%d counted, %d kept", s.deadSink, len(s.ends.last))
	}
}
