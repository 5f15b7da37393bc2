package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/background"
)

// delivering is the served Broker with a dispatcher that delivers to a server which answers with what answer says.
func delivering(t *testing.T, answer func(id string, nth int) int) *pages {
	t.Helper()
	p := served(t, model.Limits{})
	var mu sync.Mutex
	seen := map[string]int{}
	subscriber := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Ce-Id")
		mu.Lock()
		seen[id]++
		nth := seen[id]
		mu.Unlock()
		w.WriteHeader(answer(id, nth))
	}))
	t.Cleanup(subscriber.Close)
	sender := send.New(send.Options{})
	t.Cleanup(sender.Close)
	d := dispatch.New(dispatch.Options{Log: p.log, Sender: sender, Accept: p.accept, KeepEvery: time.Millisecond})
	p.readers, p.replays, p.fates, p.all = d, d, d, p.streams.All
	background.Run(t, d.Run)
	reader := model.Reader{
		ID: readerID, Kind: model.Trigger, Key: model.Key{Namespace: "shop", Name: "mail"}, Stream: brokerStream,
		Subscriber: model.Destination{URL: subscriber.URL}, Delivery: model.Delivery{Timeout: time.Minute}, Start: model.Start{Earliest: true},
	}
	if err := d.Upsert(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
	return p
}

// until waits until the Trigger is done with a position.
func (p *pages) until(t *testing.T, at log.Position) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		for _, r := range p.readers.Snapshot() {
			if r.ID == readerID && r.Low >= at {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("position %d is never reached", at)
		}
	}
}

// replayOf asks for a replay and returns what was said last.
func (p *pages) replayOf(t *testing.T, query string) (last Replay, status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", p.server.URL+TriggersPath+"shop/mail/replay?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		var b strings.Builder
		if err := answer.Write(&b); err != nil {
			t.Fatal(err)
		}
		return last, answer.StatusCode, b.String()
	}
	for lines := json.NewDecoder(answer.Body); !last.Ended; {
		last = Replay{}
		if err := lines.Decode(&last); err != nil {
			t.Fatal(err)
		}
	}
	return last, http.StatusOK, ""
}

func TestARangeIsReplayedByPositionsAndByTimes(t *testing.T) {
	p := delivering(t, func(id string, nth int) int {
		if id == "e3" && nth > 1 {
			return http.StatusBadRequest
		}
		return http.StatusAccepted
	})
	for i := range 6 {
		p.append(t, brokerStream, made(fmt.Sprint("e", i)))
	}
	p.until(t, 6)
	records, err := p.log.Get(t.Context(), brokerStream, 3)
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	exactly := records[0].Stored.UTC().Format(time.RFC3339Nano)
	for query, want := range map[string]Replay{
		"from=2&to=3":                               {From: 2, To: 3, Next: 4, Matched: 2, Delivered: 2},
		"from=3&to=4":                               {From: 3, To: 4, Next: 5, Matched: 2, Delivered: 1, Dead: 1, DeadKept: 1},
		"from=5":                                    {From: 5, To: 6, Next: 7, Matched: 2, Delivered: 2},
		"from=1h&to=" + exactly:                     {From: 1, To: 3, Next: 4, Matched: 3, Delivered: 3},
		"from=" + exactly + "&to=3":                 {From: 3, To: 3, Next: 4, Matched: 1, Delivered: 1},
		"from=1&to=2001-01-01T00:00:00Z":            {From: 1, To: 0, Next: 1},
		"from=7":                                    {From: 7, To: 6, Next: 7},
		"from=1&to=2&dryRun=true":                   {From: 1, To: 2, Next: 3, Matched: 2, DryRun: true},
		"from=3000-01-01T00:00:00Z":                 {From: 7, To: 6, Next: 7},
		"from=2001-01-01T00:00:00Z&to=1&dryRun=yes": {From: 1, To: 1, Next: 2, Matched: 1, Delivered: 1},
	} {
		got, status, text := p.replayOf(t, query)
		want.Trigger, want.Ended = "shop/mail", true
		events := got.Events
		got.Events = nil
		if status != http.StatusOK || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %d %s\ngot  %+v\nwant %+v", query, status, text, got, want)
		}
		if want.DryRun && (len(events) != 2 || events[1].ID != "e1") {
			t.Errorf("%s: %+v", query, events)
		}
	}
	var dead []DeadEvent
	p.good(t, "GET", "/events/triggers/shop/mail/dead", &dead)
	if len(dead) != 1 || dead[0].ID != "e3" {
		t.Errorf("dead: %+v", dead)
	}
}

func TestAReplayThatCannotBeSaysWhy(t *testing.T) {
	p := delivering(t, func(string, int) int { return http.StatusAccepted })
	for query, words := range map[string]string{
		"":                   "from: is missing",
		"from=soon":          "from=soon: must be a position",
		"from=1&to=tomorrow": "to=tomorrow: must be a position",
		"from=-1h":           "how long ago",
	} {
		if _, status, text := p.replayOf(t, query); status != http.StatusBadRequest || !strings.Contains(text, words) {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
	d := p.replays.(*dispatch.Dispatcher)
	if err := d.Upsert(t.Context(), model.Reader{ID: readerID, Kind: model.Trigger, Key: model.Key{Namespace: "shop", Name: "mail"}, Stream: brokerStream, Paused: true}); err != nil {
		t.Fatal(err)
	}
	p.append(t, brokerStream, made("e0"))
	if _, status, text := p.replayOf(t, "from=1"); status != http.StatusBadRequest || !strings.Contains(text, "it is paused, or has no subscriber") {
		t.Errorf("paused: %d %s", status, text)
	}
}

func TestAReplayEndsWithWhoeverAskedForIt(t *testing.T) {
	held, hold := make(chan struct{}, 1), make(chan struct{})
	defer close(hold)
	p := delivering(t, func(_ string, nth int) int {
		if nth == 2 {
			held <- struct{}{}
			<-hold
		}
		return http.StatusAccepted
	})
	p.append(t, brokerStream, made("e0"))
	p.until(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held
		cancel()
	}()
	r, err := http.NewRequestWithContext(ctx, "POST", p.server.URL+TriggersPath+"shop/mail/replay?from=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		answer.Body.Close()
	}
	// Another one is possible as soon as the first has ended.
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if got, status, _ := p.replayOf(t, "from=1"); status == http.StatusOK && got.Delivered == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the replay outlives who asked for it")
		}
	}
}

func FuzzPlace(f *testing.F) {
	for _, s := range []string{"", "0", "18446744073709551615", "2026-01-02T15:04:05Z", "90m", "-1h", "1e3", "0001-01-01T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parsePlace("from", s)
		if err != nil {
			if !strings.Contains(err.Error(), "must be a position") {
				t.Error(err)
			}
			return
		}
		if at.exact && at.dated || at.ago < 0 || !at.exact && at.position != 0 {
			t.Errorf("%q: %+v", s, at)
		}
	})
}
