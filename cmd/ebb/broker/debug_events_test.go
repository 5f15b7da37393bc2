package broker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/dispatch/decide"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/jetstream"
	"ebb.dev/ebb/eventing/model"
)

const (
	brokerStream = model.StreamID("broker.1")
	readerID     = model.ReaderID("trigger.1")
)

// snapshot is a dispatcher that is always the same.
type snapshot []dispatch.Reader

func (s snapshot) Snapshot() []dispatch.Reader           { return s }
func (s snapshot) Backlog(model.ReaderID) (int, float64) { return 7, 0 }

type pages struct {
	*eventPages
	log     log.Log
	streams *ingress.Registry
	server  *httptest.Server
}

// served is a Broker shop/default with a Trigger shop/mail, on a log of its own.
func served(t *testing.T, limits model.Limits) *pages {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	l, err := jetstream.Open(t.Context(), jetstream.Options{Dir: t.TempDir(), Relaxed: true, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	streams := &ingress.Registry{}
	s := model.Stream{ID: brokerStream, Kind: model.Broker, Key: model.Key{Namespace: "shop", Name: "default"}, Limits: limits}
	if err := l.Ensure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	streams.Set(s)
	handler := ingress.New(ingress.Options{Log: l, Streams: streams, Logger: logger})
	p := &pages{log: l, streams: streams, eventPages: &eventPages{
		log: l, streams: streams, accept: handler.Accept, now: time.Now, logger: logger, look: time.Minute, closing: make(chan struct{}),
		readers: snapshot{
			{ID: readerID, Kind: model.Trigger, Key: model.Key{Namespace: "shop", Name: "mail"}, Stream: brokerStream,
				Matched: 5, Delivered: 3, Retried: 2, DeadSink: 1, DeadKept: 1},
			{ID: "trigger.2", Kind: model.Trigger, Key: model.Key{Namespace: "bank", Name: "audit"}, Stream: "broker.2"},
			{ID: "subscription.1", Kind: model.Subscription, Key: model.Key{Namespace: "shop", Name: "sub"}},
		},
	}}
	mux := http.NewServeMux()
	p.routes(mux)
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func made(id string) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/shop")
	e.SetType("order.placed")
	_ = e.SetData(event.ApplicationJSON, map[string]string{"of": id})
	return &e
}

func (p *pages) append(t *testing.T, stream model.StreamID, events ...*event.Event) {
	t.Helper()
	if err := p.log.Ensure(t.Context(), model.Stream{ID: stream}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.log.Append(t.Context(), stream, events...); err != nil {
		t.Fatal(err)
	}
}

// die puts events on the Trigger's list as the dispatcher does.
func (p *pages) die(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		p.append(t, dispatch.DeadStream(readerID), decide.Dead(made(id), decide.Failure{Dest: "http://mail", Code: 503, Data: "no room"}))
	}
}

// ask makes a request; into is decoded from a good answer, and the text of any other is returned.
func (p *pages) ask(t *testing.T, method, path string, into any) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	return answer.StatusCode, string(body)
}

func (p *pages) good(t *testing.T, method, path string, into any) {
	t.Helper()
	if status, text := p.ask(t, method, path, into); status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
}

func (p *pages) stored(t *testing.T) (ids []string) {
	t.Helper()
	var events []Stored
	p.good(t, "GET", "/events/brokers/shop/default/events?last=1000", &events)
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestTheLastEventsAreListedInOrder(t *testing.T) {
	p := served(t, model.Limits{})
	for i := range 5 {
		p.append(t, brokerStream, made(fmt.Sprint("e", i)))
	}
	var events []Stored
	p.good(t, "GET", "/events/brokers/shop/default/events?last=2", &events)
	if len(events) != 2 || events[0].ID != "e3" || events[1].ID != "e4" || events[1].Position != 5 {
		t.Fatalf("got %+v", events)
	}
	if e := events[0]; e.Type != "order.placed" || e.Source != "/shop" || e.Bytes != len(`{"of":"e3"}`) || e.Stored.IsZero() || e.Event != nil {
		t.Errorf("got %+v", e)
	}
	if ids := p.stored(t); len(ids) != 5 {
		t.Errorf("all: %v", ids)
	}
}

func TestAnEventIsShownWhole(t *testing.T) {
	p := served(t, model.Limits{})
	broken := made("broken")
	broken.DataEncoded = []byte("{no json")
	p.append(t, brokerStream, made("e0"), broken)
	var e event.Event
	p.good(t, "GET", "/events/brokers/shop/default/events/1", &e)
	if e.ID() != "e0" || string(e.Data()) != `{"of":"e0"}` {
		t.Errorf("got %s", e)
	}
	p.good(t, "GET", "/events/brokers/shop/default/events/2", &e)
	if e.ID() != "broken" || string(e.Data()) != "{no json" {
		t.Errorf("got %s with %q", e, e.Data())
	}
}

func TestWhatIsNotThereIsNamedWithTheRemedy(t *testing.T) {
	p := served(t, model.Limits{})
	p.die(t, "e0")
	for path, want := range map[string]string{
		"GET /events/brokers/shop/other/events":              "404 Broker shop/other takes no events here; see: ebb kubectl get brokers -A",
		"GET /events/brokers/shop/other/follow":              "404 Broker shop/other",
		"GET /events/brokers/shop/default/events/9":          "404 Broker shop/default keeps no event at position 9; see: ebb events list default -n shop",
		"GET /events/brokers/shop/default/events/x":          "400 position x: must be a number from 1",
		"GET /events/brokers/shop/default/events?last=2000":  "400 last=2000: must be a number from 0 to 1000",
		"GET /events/triggers/shop/other/dead":               "404 Trigger shop/other gets no events here",
		"POST /events/triggers/shop/other/redrive":           "404 Trigger shop/other gets no events here",
		"GET /events/triggers/shop/sub/dead":                 "404 Trigger shop/sub gets no events here",
		"GET /events/triggers/shop/mail/dead?position=4":     "404 Trigger shop/mail has no dead event at position 4; see: ebb events dead mail -n shop",
		"POST /events/triggers/shop/mail/redrive?position=4": "404 Trigger shop/mail has no dead event at position 4",
	} {
		method, where, _ := strings.Cut(path, " ")
		status, text := p.ask(t, method, where, nil)
		if got := fmt.Sprint(status, " ", text); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestAFollowerGetsThePastItAskedForAndWhatComes(t *testing.T) {
	p := served(t, model.Limits{})
	p.append(t, brokerStream, made("e0"), made("e1"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", p.server.URL+"/events/brokers/shop/default/follow?last=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	p.append(t, brokerStream, made("e2"))
	lines := bufio.NewScanner(answer.Body)
	for _, want := range []string{"e1", "e2"} {
		var got Stored
		if !lines.Scan() {
			t.Fatalf("no line for %s: %v", want, lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil || got.ID != want || len(got.Event) == 0 {
			t.Fatalf("got %s (%v), want %s", lines.Bytes(), err, want)
		}
	}
	// A server that shuts down waits for its requests: this one has to end by itself.
	if err := p.server.Config.Shutdown(ctx); err != nil {
		t.Fatalf("the follower holds the server up: %v", err)
	}
}

func TestTriggersAreCountedByNamespace(t *testing.T) {
	p := served(t, model.Limits{})
	var all, shop []TriggerState
	p.good(t, "GET", "/events/triggers/", &all)
	p.good(t, "GET", "/events/triggers/?namespace=shop", &shop)
	if len(all) != 2 || all[0].Namespace != "bank" || len(shop) != 1 {
		t.Fatalf("got %+v and %+v", all, shop)
	}
	if want := (TriggerState{Namespace: "shop", Name: "mail", Matched: 5, Delivered: 3, Retried: 2, Dead: 2, DeadKept: 1, Lag: 7}); shop[0] != want {
		if got := fmt.Sprintf("%+v", shop[0]); got != fmt.Sprintf("%+v", want) {
			t.Errorf("got %s", got)
		}
	}
}

func TestDeadEventsTellWhyTheyDied(t *testing.T) {
	p := served(t, model.Limits{})
	var dead []DeadEvent
	p.good(t, "GET", "/events/triggers/shop/mail/dead", &dead)
	if dead == nil || len(dead) != 0 {
		t.Fatalf("before any died: %+v", dead)
	}
	p.die(t, "e0")
	p.good(t, "GET", "/events/triggers/shop/mail/dead?full=true", &dead)
	if len(dead) != 1 || dead[0].ID != "e0" || dead[0].Code != 503 || dead[0].Reason != "no room" || dead[0].Destination != "http://mail" ||
		len(dead[0].Event) == 0 || dead[0].Redriven != nil {
		t.Fatalf("got %+v", dead)
	}
}

func TestDeadEventsAreGivenBackOnceAsTheyWere(t *testing.T) {
	p := served(t, model.Limits{})
	p.die(t, "e0", "e1", "e2")
	var one, rest, none, again Redriven
	p.good(t, "POST", "/events/triggers/shop/mail/redrive?position=2", &one)
	p.good(t, "POST", "/events/triggers/shop/mail/redrive", &rest)
	p.good(t, "POST", "/events/triggers/shop/mail/redrive", &none)
	if !slices.Equal(one.Positions, []log.Position{2}) || !slices.Equal(rest.Positions, []log.Position{1, 3}) || len(none.Positions) != 0 {
		t.Fatalf("got %+v, %+v, %+v", one, rest, none)
	}
	if ids := p.stored(t); !slices.Equal(ids, []string{"e1", "e0", "e2"}) {
		t.Fatalf("the Broker has %v", ids)
	}
	var e event.Event
	p.good(t, "GET", "/events/brokers/shop/default/events/1", &e)
	if x := e.Extensions(); x[extension.ErrorCode] != nil || x[extension.ErrorDest] != nil || x[extension.ErrorData] != nil || x[extension.TTL] == nil {
		t.Errorf("extensions %v", x)
	}
	var left, all []DeadEvent
	p.good(t, "GET", "/events/triggers/shop/mail/dead", &left)
	p.good(t, "GET", "/events/triggers/shop/mail/dead?all=true", &all)
	if len(left) != 0 || len(all) != 3 || all[1].Redriven == nil {
		t.Fatalf("left %+v of %+v", left, all)
	}
	p.good(t, "POST", "/events/triggers/shop/mail/redrive?position=2", &again)
	if ids := p.stored(t); len(again.Positions) != 1 || len(ids) != 4 {
		t.Errorf("one asked for by name: %+v, the Broker has %v", again, ids)
	}
}

func TestADeadEventThatLooksLikeANoteIsOne(t *testing.T) {
	p := served(t, model.Limits{})
	p.die(t, "e0")
	p.append(t, dispatch.DeadStream(readerID), decide.Dead(note(1, time.Now()), decide.Failure{Code: 400}))
	var dead []DeadEvent
	p.good(t, "GET", "/events/triggers/shop/mail/dead", &dead)
	if len(dead) != 2 || dead[0].Redriven != nil {
		t.Errorf("got %+v", dead)
	}
}

func TestWhatTheBrokerWouldTakeForADuplicateStaysDead(t *testing.T) {
	p := served(t, model.Limits{Dedupe: time.Hour})
	p.die(t, "e0")
	var done Redriven
	p.good(t, "POST", "/events/triggers/shop/mail/redrive", &done)
	if len(done.Positions) != 0 || len(done.Refused) != 1 || !strings.Contains(done.Refused[0].Error, "try again after") {
		t.Fatalf("got %+v", done)
	}
	p.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	var later Redriven
	p.good(t, "POST", "/events/triggers/shop/mail/redrive", &later)
	if len(later.Positions) != 1 {
		t.Errorf("later: %+v", later)
	}
}

func TestAFullBrokerLeavesTheRestDead(t *testing.T) {
	p := served(t, model.Limits{})
	p.die(t, "e0", "e1", "e2")
	accept, taken := p.accept, 0
	p.accept = func(ctx context.Context, stream model.StreamID, events ...*event.Event) error {
		if taken++; taken > 1 {
			return fmt.Errorf("stream %s: %w", stream, log.ErrFull)
		}
		return accept(ctx, stream, events...)
	}
	var done Redriven
	p.good(t, "POST", "/events/triggers/shop/mail/redrive", &done)
	if len(done.Positions) != 1 || len(done.Refused) != 1 || done.Refused[0].Position != 2 || taken != 2 {
		t.Fatalf("got %+v after %d", done, taken)
	}
	var left []DeadEvent
	p.good(t, "GET", "/events/triggers/shop/mail/dead", &left)
	if len(left) != 2 {
		t.Errorf("left: %+v", left)
	}
	if !errors.Is(goOn(log.ErrFull), log.ErrFull) || goOn(log.ErrTooLarge) != nil {
		t.Error("one event that is too large holds up the others, or a full Broker does not")
	}
}
