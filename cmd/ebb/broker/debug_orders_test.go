package broker

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kadm"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log/kafka"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/log/placed"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
	"ebb.dev/ebb/test/background"
	"ebb.dev/ebb/test/fakekafka"
)

// topicPages are the pages of a Broker shop/default that is a topic of three partitions, with a Trigger shop/mail whose subscriber answers as
// answer says. The nth event, named eN, goes to partition N modulo 3.
type topicPages struct {
	*pages
	cluster cluster.Cluster
	mu      sync.Mutex
	taken   []string
}

func onATopic(t *testing.T, answer func(id string) int) *topicPages {
	t.Helper()
	at := fakekafka.At(t)
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	l := placed.New(&memory.Log{}, kafka.Options{Logger: logger})
	t.Cleanup(l.Close)
	s := model.Stream{ID: brokerStream, Kind: model.Broker, Key: model.Key{Namespace: "shop", Name: "default"}}
	l.Place(s.ID, placed.Place{Cluster: at, Topic: topic.Topic{Name: "orders", Partitions: 3, Replication: 1}})
	if err := l.Ensure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for n := range 7 {
		if _, err := l.Append(t.Context(), partition.Stream(s.ID, int32(n%3)), made(fmt.Sprint("e", n))); err != nil {
			t.Fatal(err)
		}
		// Kafka tells milliseconds apart: what is merged by time has to differ.
		time.Sleep(2 * time.Millisecond)
	}
	streams := &ingress.Registry{}
	streams.Set(s)
	handler := ingress.New(ingress.Options{Log: l, Streams: streams, Logger: logger})
	accept := func(ctx context.Context, id model.StreamID, events ...*event.Event) error {
		base, _ := partition.Of(id)
		return handler.Accept(ctx, base, events...)
	}
	out := &topicPages{cluster: at}
	subscriber := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Ce-Id")
		status := answer(id)
		out.mu.Lock()
		defer out.mu.Unlock()
		if status < 300 {
			out.taken = append(out.taken, id)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(subscriber.Close)
	sender := send.New(send.Options{})
	t.Cleanup(sender.Close)
	d := dispatch.New(dispatch.Options{Log: l, Sender: sender, Accept: accept, KeepEvery: time.Millisecond})
	background.Run(t, d.Run)
	readers := &partition.Readers{Dispatcher: d, Log: l}
	err := readers.Set(t.Context(), model.Reader{
		ID: readerID, Kind: model.Trigger, Key: model.Key{Namespace: "shop", Name: "mail"}, Stream: brokerStream,
		Subscriber: model.Destination{URL: subscriber.URL}, Delivery: model.Delivery{Timeout: time.Minute}, Start: model.Start{Earliest: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	out.pages = &pages{log: l, streams: streams, eventPages: &eventPages{
		log: l, streams: streams, readers: d, replays: d, fates: d, all: streams.All, partitions: l.Partitions, accept: accept, now: time.Now, logger: logger,
		look: 10 * time.Millisecond, closing: make(chan struct{}),
	}}
	mux := http.NewServeMux()
	out.routes(mux)
	out.server = httptest.NewServer(mux)
	t.Cleanup(out.server.Close)
	return out
}

// settled waits until the Trigger is done with n events.
func (p *topicPages) settled(t *testing.T, n uint64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		done := uint64(0)
		for _, r := range p.readers.Snapshot() {
			done += r.Delivered + r.DeadKept
		}
		if done >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d events are done with", done, n)
		}
	}
}

// places are positions as people read them, with ids.
func places(all []Stored) string {
	var out []string
	for _, s := range all {
		out = append(out, s.Place()+" "+s.ID)
	}
	return strings.Join(out, ", ")
}

func taking(string) int { return http.StatusAccepted }

func TestTheLastEventsOfATopicAreThoseOfAllItsPartitions(t *testing.T) {
	p := onATopic(t, taking)
	var all, last []Stored
	p.good(t, "GET", "/events/brokers/shop/default/events", &all)
	p.good(t, "GET", "/events/brokers/shop/default/events?last=2", &last)
	if got := places(all); got != "0/1 e0, 1/1 e1, 2/1 e2, 0/2 e3, 1/2 e4, 2/2 e5, 0/3 e6" {
		t.Error(got)
	}
	if got := places(last); got != "2/2 e5, 0/3 e6" {
		t.Error(got)
	}
}

func TestAnEventOfATopicIsShownByItsPartition(t *testing.T) {
	p := onATopic(t, taking)
	var e event.Event
	p.good(t, "GET", "/events/brokers/shop/default/events/2/2", &e)
	if e.ID() != "e5" {
		t.Errorf("%v", e)
	}
	for path, want := range map[string]struct {
		status int
		words  string
	}{
		"2":   {http.StatusBadRequest, "topic of 3 partitions, each with positions of its own: write PARTITION/POSITION"},
		"7/1": {http.StatusNotFound, "there is no partition 7; there are 3"},
		"1/9": {http.StatusNotFound, "no event at position 1/9"},
		"1/x": {http.StatusBadRequest, "or PARTITION/POSITION"},
		"1/0": {http.StatusBadRequest, "must be a number from 1"},
	} {
		status, text := p.ask(t, "GET", "/events/brokers/shop/default/events/"+path, nil)
		if status != want.status || !strings.Contains(text, want.words) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

func TestATopicIsFollowedInAllItsPartitions(t *testing.T) {
	p := onATopic(t, taking)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
	lines := bufio.NewScanner(answer.Body)
	next := func() string {
		var s Stored
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &s) != nil {
			t.Fatalf("%v: %s", lines.Err(), lines.Bytes())
		}
		return places([]Stored{s})
	}
	if got := next(); got != "0/3 e6" {
		t.Error(got)
	}
	for n, want := range map[int32]string{2: "2/3 new2", 1: "1/3 new1"} {
		p.append(t, partition.Stream(brokerStream, n), made(fmt.Sprint("new", n)))
		if got := next(); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
	// A partition that is added meanwhile is followed too, from its first event on.
	client, err := p.cluster.Connect(t.Context(), "grower")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).UpdatePartitions(t.Context(), 4, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := p.log.Ensure(t.Context(), model.Stream{ID: brokerStream, Kind: model.Broker, Key: model.Key{Namespace: "shop", Name: "default"}}); err != nil {
		t.Fatal(err)
	}
	p.append(t, partition.Stream(brokerStream, 3), made("grown"))
	if got := next(); got != "3/1 grown" {
		t.Error(got)
	}
}

func TestARangeOfOnePartitionIsReplayed(t *testing.T) {
	p := onATopic(t, taking)
	p.settled(t, 7)
	two := int32(2)
	for _, query := range []string{"from=2/1&to=2/2", "from=2/1&to=2", "from=1&to=2&partition=2", "from=2/1"} {
		got, status, text := p.replayOf(t, query)
		if status != http.StatusOK || got.Delivered != 2 || got.Partition == nil || *got.Partition != two || got.Partitions != 1 || got.Next != 3 {
			t.Errorf("%s: %d %s %+v", query, status, text, got)
		}
	}
	for query, words := range map[string]string{
		"from=1":                      "topic of 3 partitions, each with positions of its own: write PARTITION/POSITION",
		"from=1h&to=3":                "write PARTITION/POSITION",
		"from=1/1&to=2/1":             "a range is in one partition",
		"from=1/1&partition=2":        "a range is in one partition",
		"from=1&partition=x":          "must be a number from 0",
		"from=8/1":                    "there is no partition 8",
		"from=2026-13-01&partition=1": "from=2026-13-01: must be a position",
	} {
		if _, status, text := p.replayOf(t, query); status/100 != 4 || !strings.Contains(text, words) {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
}

func TestATimeIsReplayedInAllPartitions(t *testing.T) {
	p := onATopic(t, taking)
	p.settled(t, 7)
	for _, dry := range []bool{true, false} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", p.server.URL+TriggersPath+"shop/mail/replay?from=1h&dryRun="+fmt.Sprint(dry), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var ended []string
		lines := json.NewDecoder(answer.Body)
		for len(ended) < 3 {
			var one Replay
			if err := lines.Decode(&one); err != nil {
				t.Fatal(err)
			}
			if one.Ended {
				ended = append(ended, fmt.Sprintf("%d of %d: %d to %d, %d matched, %d delivered, %s", *one.Partition, one.Partitions, one.From, one.To, one.Matched, one.Delivered, places(one.Events)))
			}
		}
		want := []string{"0 of 3: 1 to 3, 3 matched, 3 delivered, ", "1 of 3: 1 to 2, 2 matched, 2 delivered, ", "2 of 3: 1 to 2, 2 matched, 2 delivered, "}
		if dry {
			want = []string{
				"0 of 3: 1 to 3, 3 matched, 0 delivered, 0/1 e0, 0/2 e3, 0/3 e6", "1 of 3: 1 to 2, 2 matched, 0 delivered, 1/1 e1, 1/2 e4",
				"2 of 3: 1 to 2, 2 matched, 0 delivered, 2/1 e2, 2/2 e5",
			}
		}
		if fmt.Sprint(ended) != fmt.Sprint(want) {
			t.Errorf("dry %t:\n%s\n%s", dry, strings.Join(ended, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestDeadEventsOfAllPartitionsAreInOneList(t *testing.T) {
	var healed atomic.Bool
	p := onATopic(t, func(id string) int {
		if !healed.Load() && (id == "e1" || id == "e5") {
			return http.StatusBadRequest
		}
		return http.StatusAccepted
	})
	p.settled(t, 7)
	var dead []DeadEvent
	p.good(t, "GET", "/events/triggers/shop/mail/dead", &dead)
	ids := map[string]bool{}
	for _, d := range dead {
		ids[d.ID] = true
	}
	if len(dead) != 2 || !ids["e1"] || !ids["e5"] {
		t.Fatalf("%+v", dead)
	}
	healed.Store(true)
	var done Redriven
	p.good(t, "POST", "/events/triggers/shop/mail/redrive", &done)
	if len(done.Positions) != 2 {
		t.Errorf("%+v", done)
	}
	p.settled(t, 9)
}

func TestADeadEventWaitsForTheWindowOfItsTopic(t *testing.T) {
	p := onATopic(t, func(string) int { return http.StatusBadRequest })
	p.settled(t, 7)
	s, _ := p.eventPages.streams.Stream(brokerStream)
	s.Limits.Dedupe = time.Hour
	p.pages.streams.Set(s)
	var done Redriven
	p.good(t, "POST", "/events/triggers/shop/mail/redrive", &done)
	if len(done.Positions) != 0 || len(done.Refused) != 7 || !strings.Contains(done.Refused[0].Error, "try again after") {
		t.Errorf("%+v", done)
	}
}

func FuzzPositions(f *testing.F) {
	for _, s := range []string{"", "0", "3/17", "/", "3/", "/17", "-1/2", "3/4/5", "2147483648/1", "18446744073709551615", "+1/+2", "03/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		of, n, err := ParsePlace(s)
		if err != nil {
			return
		}
		again, m, err := ParsePlace(PlaceOf(of, n))
		if err != nil || m != n || number32(again) != number32(of) {
			t.Errorf("%q became %q: %v", s, PlaceOf(of, n), err)
		}
	})
}
