package placed

import (
	"context"
	"errors"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/kafka"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/fakekafka"
)

func open(t *testing.T) (*Log, *memory.Log) {
	t.Helper()
	main := &memory.Log{}
	l := New(main, kafka.Options{Timeout: 2 * time.Second})
	t.Cleanup(l.Close)
	return l, main
}

func ensure(t *testing.T, l *Log, id model.StreamID) {
	t.Helper()
	if err := l.Ensure(t.Context(), model.Stream{ID: id}); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, l log.Log, id model.StreamID, event string) {
	t.Helper()
	if _, err := l.Append(t.Context(), id, logtest.Event("s", event, 10)); err != nil {
		t.Fatal(err)
	}
}

// has says which event a stream begins with.
func has(t *testing.T, l log.Log, id model.StreamID) string {
	t.Helper()
	records, err := l.Get(t.Context(), id, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) == 0 {
		return ""
	}
	return records[0].Event.ID()
}

func TestStreamsLiveWhereTheyArePlaced(t *testing.T) {
	l, main := open(t)
	a, b := fakekafka.At(t), fakekafka.At(t)
	l.Place("in a", Place{Cluster: a, Topic: topic.Topic{Name: "topic", Partitions: 2}})
	l.Place("in b", Place{Cluster: b, Topic: topic.Topic{Name: "topic", Partitions: 1}})
	for _, id := range []model.StreamID{"here", "in a", "in b"} {
		ensure(t, l, id)
	}
	add(t, l, "here", "1")
	add(t, l, "in a#1", "2")
	add(t, l, "in b", "3")
	add(t, l, "here", "4")
	if has(t, l, "here") != "1" || has(t, l, "in a#1") != "2" || has(t, l, "in b#0") != "3" || has(t, l, "in a#0") != "" {
		t.Error("an event is where it does not belong")
	}
	if _, err := main.Append(t.Context(), "in a"); !errors.Is(err, log.ErrUnknown) {
		t.Error("the default log has a stream that is placed elsewhere")
	}
	for id, want := range map[model.StreamID]int{"here": 0, "in a": 2, "in b": 1} {
		if got, err := l.Partitions(id); err != nil || len(got) != want {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
	if err := l.Remove(t.Context(), "in b"); err != nil {
		t.Fatal(err)
	}
	if len(l.clusters) != 1 {
		t.Error("a cluster that nobody uses is still there")
	}
	if _, err := l.Append(t.Context(), "in b", logtest.Event("s", "5", 0)); !errors.Is(err, log.ErrUnknown) {
		t.Error(err)
	}
}

func TestAClusterThatIsAwayHoldsUpNobodyElse(t *testing.T) {
	l, _ := open(t)
	l.Place("away", Place{Cluster: cluster.Cluster{Servers: []string{"127.0.0.1:1"}}, Topic: topic.Topic{Name: "topic"}})
	var why *cluster.Unreachable
	if err := l.Ensure(t.Context(), model.Stream{ID: "away"}); !errors.As(err, &why) {
		t.Fatal(err)
	}
	if _, err := l.Partitions("away"); !errors.Is(err, log.ErrUnavailable) {
		t.Errorf("it is taken for one of the default log's: %v", err)
	}
	ensure(t, l, "here")
	add(t, l, "here", "1")
}

func TestChangedCredentialsKeepReadersWhereTheyAre(t *testing.T) {
	l, _ := open(t)
	a := fakekafka.At(t)
	l.Place("s", Place{Cluster: a, Topic: topic.Topic{Name: "topic", Partitions: 1}})
	ensure(t, l, "s")
	add(t, l, "s", "1")
	if err := l.Keep(t.Context(), "s#0", "r", 1, []byte("state")); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		ended <- l.Follow(context.WithoutCancel(t.Context()), "s#0", 0, func(log.Record) error { close(begun); return nil })
	}()
	<-begun
	other := a
	// The imitation asks nobody who they are.
	other.Auth.User = "somebody else"
	l.Place("s", Place{Cluster: other, Topic: topic.Topic{Name: "topic", Partitions: 1}})
	ensure(t, l, "s")
	if err := <-ended; err == nil {
		t.Error("who follows is not told")
	}
	if state, err := l.Kept(t.Context(), "s#0", "r"); err != nil || string(state) != "state" || has(t, l, "s#0") != "1" {
		t.Errorf("%q, %v", state, err)
	}
}
