package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/jetstream"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func record(id string) request.Record {
	return request.Record{
		ID: id, Version: 1, Service: model.Key{Namespace: "default", Name: "hello"}, Method: "POST", Target: "/", State: request.Queued, Accepted: start, Due: start,
		Terms: request.Terms{Retry: 1, Backoff: time.Second, Timeout: time.Minute, TTL: time.Hour, Bytes: 1 << 20},
	}
}

func message(text string) Message {
	return Message{Host: "hello.default.svc.cluster.local", Header: http.Header{"A": {"b", "c"}}, Body: []byte(text)}
}

func open(t testing.TB, l log.Log) (*Journal, map[string]request.Record) {
	t.Helper()
	found := map[string]request.Record{}
	j, err := Open(t.Context(), Options{Log: l, Bytes: 1 << 30, Logger: slog.Default()}, func(r request.Record) { found[r.ID] = r })
	if err != nil {
		t.Fatal(err)
	}
	return j, found
}

func disk(t testing.TB, dir string) *jetstream.Log {
	t.Helper()
	l, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir, Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestARestartFindsWhatWasStored(t *testing.T) {
	dir := t.TempDir()
	l := disk(t, dir)
	j, found := open(t, l)
	if len(found) > 0 {
		t.Fatal(found)
	}
	waits, done, failing := record("waits"), record("done"), record("failing")
	must(t, j.Accept(t.Context(), waits, message("w")))
	must(t, j.Accept(t.Context(), done, message("d")))
	must(t, j.Accept(t.Context(), failing, message("f")))
	done = done.Begin(start).Answered(request.Answer{Status: 201, Kept: true}, start, 0)
	must(t, j.Finish(t.Context(), done, message("answer")))
	failing = failing.Begin(start).Answered(request.Answer{Status: 500}, start, 0)
	must(t, j.Change(t.Context(), failing))
	must(t, l.Close())

	j, found = open(t, disk(t, dir))
	for _, want := range []request.Record{waits, done, failing} {
		if !reflect.DeepEqual(found[want.ID], want) {
			t.Errorf("%s: %+v", want.ID, found[want.ID])
		}
	}
	for id, body := range map[string]string{"waits": "w", "failing": "f"} {
		if m, err := j.Request(t.Context(), id); err != nil || !reflect.DeepEqual(m, message(body)) {
			t.Errorf("%s: %+v, %v", id, m, err)
		}
	}
	if m, err := j.Answer(t.Context(), "done"); err != nil || !reflect.DeepEqual(m, message("answer")) {
		t.Errorf("answer: %+v, %v", m, err)
	}
	for _, id := range []string{"waits", "nobody"} {
		if _, err := j.Answer(t.Context(), id); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// One request that waits does not keep all that came after it; and whatever is moved, a restart finds the latest.
func TestWhatIsWantedMovesAndTheRestGoes(t *testing.T) {
	l := &memory.Log{}
	j, _ := open(t, l)
	current := map[string]request.Record{}
	get := func(id string) (request.Record, bool) { r, ok := current[id]; return r, ok }
	old := record("old")
	current["old"] = old
	must(t, j.Accept(t.Context(), old, message("old")))
	big := make([]byte, 4<<20)
	for i := range 12 {
		r := record(fmt.Sprint(i))
		must(t, j.Accept(t.Context(), r, Message{Body: big}))
		j.Forget(r.ID)
	}
	dead := record("dead")
	must(t, j.Accept(t.Context(), dead, message("again")))
	for dead.State != request.Dead {
		dead = dead.Begin(start).Answered(request.Answer{Status: 500, Kept: true}, start, 0)
	}
	must(t, j.Finish(t.Context(), dead, message("500")))
	current["dead"] = dead
	must(t, j.move(t.Context(), get))
	must(t, j.release(t.Context()))
	if j.kept < 10 {
		t.Errorf("only %d are let go", j.kept)
	}
	// What comes before is not there any more.
	_, found := open(t, from{l, j.kept + 1})
	if !reflect.DeepEqual(found, current) {
		t.Errorf("found %v", found)
	}
	for id, body := range map[string]string{"old": "old", "dead": "again"} {
		if m, err := j.Request(t.Context(), id); err != nil || string(m.Body) != body {
			t.Errorf("%s: %+v, %v", id, m, err)
		}
	}
	if m, err := j.Answer(t.Context(), "dead"); err != nil || string(m.Body) != "500" {
		t.Errorf("%+v, %v", m, err)
	}
}

// from is a log that has dropped what came before a position.
type from struct {
	log.Log
	oldest log.Position
}

func (f from) Bounds(ctx context.Context, s model.StreamID) (log.Position, log.Position, error) {
	_, next, err := f.Log.Bounds(ctx, s)
	return min(f.oldest, next), next, err
}

// gate lets appends through one at a time, in another order than they came.
type gate struct {
	log.Log
	entered, leave chan struct{}
}

func (g *gate) Append(ctx context.Context, s model.StreamID, e ...*event.Event) ([]log.Position, error) {
	p, err := g.Log.Append(ctx, s, e...)
	if g.entered != nil {
		g.entered <- struct{}{}
		<-g.leave
	}
	return p, err
}

func TestWhatIsBeingStoredIsNotLetGo(t *testing.T) {
	g := &gate{Log: &memory.Log{}}
	j, _ := open(t, g)
	g.entered, g.leave = make(chan struct{}), make(chan struct{})
	stored := make(chan error)
	go func() { stored <- j.Accept(t.Context(), record("slow"), message("slow")) }()
	<-g.entered
	leave := g.leave
	g.entered = nil
	must(t, j.Accept(t.Context(), record("fast"), message("fast")))
	j.Forget("fast")
	must(t, j.release(t.Context()))
	if j.kept != 0 {
		t.Errorf("let go up to %d", j.kept)
	}
	close(leave)
	must(t, <-stored)
	j.Forget("slow")
	must(t, j.release(t.Context()))
	if j.kept != 2 {
		t.Errorf("let go up to %d", j.kept)
	}
}

// Against a plain model: whatever is stored, moved, forgotten and restarted, what is found is the latest of each.
func TestManyStepsAndMovesAreFound(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 7))
		l := &memory.Log{}
		j, _ := open(t, l)
		current := map[string]request.Record{}
		bodies, lives := map[string]string{}, map[int]int{}
		for i := range 200 {
			slot := random.IntN(20)
			id := fmt.Sprint(slot, "/", lives[slot])
			r, known := current[id]
			switch {
			case !known:
				r = record(id)
				bodies[id] = fmt.Sprint("q", i)
				must(t, j.Accept(t.Context(), r, message(bodies[id])))
			case r.State == request.Dead && random.IntN(3) == 0:
				r, _ = r.Again(start)
				must(t, j.Change(t.Context(), r))
			case r.State.Final() && random.IntN(2) == 0:
				j.Forget(id)
				delete(current, id)
				lives[slot]++
				continue
			case r.State.Final():
				if here := j.places.byID[id]; random.IntN(2) == 0 {
					must(t, j.again(t.Context(), here, r))
				}
				continue
			default:
				r = r.Begin(start).Answered(request.Answer{Status: []int{200, 500, 404}[random.IntN(3)], Kept: true}, start, 0)
				must(t, j.Finish(t.Context(), r, message("a"+id)))
				if !r.State.Final() {
					r.Kept = false
				}
			}
			current[id] = r
			must(t, j.release(t.Context()))
		}
		again, found := open(t, from{l, j.kept + 1})
		for id, r := range current {
			got := found[id]
			if got.Version != r.Version || got.State != r.State {
				t.Fatalf("seed %d, %s: %+v instead of %+v", seed, id, got, r)
			}
			if r.NeedsRequest() {
				if m, err := again.Request(t.Context(), id); err != nil || string(m.Body) != bodies[id] {
					t.Fatalf("seed %d, %s: %q, %v", seed, id, m.Body, err)
				}
			}
			if r.Kept {
				if m, err := again.Answer(t.Context(), id); err != nil || string(m.Body) != "a"+id {
					t.Fatalf("seed %d, %s: %q, %v", seed, id, m.Body, err)
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	e, err := encode(step{Record: record("r"), Request: &Message{Body: []byte("b")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.DataEncoded)
	f.Add([]byte{})
	f.Add([]byte{200, 1, '{'})
	f.Fuzz(func(t *testing.T, data []byte) {
		e := event.New()
		e.DataEncoded = data
		s, err := decode(&e)
		if err != nil {
			return
		}
		back, err := encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(back); err != nil || again.Record.ID != s.Record.ID {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}
