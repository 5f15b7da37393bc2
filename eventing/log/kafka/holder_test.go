package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
	"ebb.dev/ebb/test/fakekafka"
)

func keep(t *testing.T, l *Log, reader model.ReaderID, read log.Position) {
	t.Helper()
	if err := l.Keep(t.Context(), partition.Stream(orders, 0), reader, read, []byte("state")); err != nil {
		t.Fatal(err)
	}
}

func kept(t *testing.T, l *Log, reader model.ReaderID) string {
	t.Helper()
	state, err := l.Kept(t.Context(), partition.Stream(orders, 0), reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(state)
}

// newerWins opens a second log beside one that works: the first one ends and says why, and the second goes on from where it was.
func newerWins(t *testing.T, at cluster.Cluster) {
	o := Options{Cluster: at, Name: unique(), Owner: "cluster-1"}
	old := open(t, o)
	ensure(t, old, topic.Topic{Name: o.Name + "-orders", Partitions: 2})
	keep(t, old, "trigger.1", 7)
	ended := make(chan error, 1)
	go func() {
		ended <- old.Follow(context.Background(), partition.Stream(orders, 0), 0, func(log.Record) error { return nil })
	}()
	newer := open(t, o)
	if got := kept(t, newer, "trigger.1"); got != "state" {
		t.Errorf("the newer one knows %q", got)
	}
	err := <-ended
	if !errors.Is(err, ErrTaken) || !errors.Is(err, log.ErrUnavailable) {
		t.Errorf("whoever follows is told %v", err)
	}
	_, appended := old.Append(t.Context(), orders, logtest.Event("s", "late", 1))
	for what, err := range map[string]error{
		"Append": appended,
		"Keep":   old.Keep(t.Context(), partition.Stream(orders, 0), "trigger.1", 8, nil),
		"Ensure": old.EnsureTopic(t.Context(), model.Stream{ID: "broker.more"}, topic.Topic{Name: o.Name + "-more", Partitions: 1}),
		"Remove": old.Remove(t.Context(), orders),
		"Taken":  old.Taken(),
	} {
		if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "run one event broker for a cluster") {
			t.Errorf("%s of the older one: %v", what, err)
		}
	}
	old.Close()
	if _, err := newer.Append(t.Context(), orders, logtest.Event("s", "1", 1)); err != nil {
		t.Error(err)
	}
	keep(t, newer, "trigger.1", 9)
	if err := newer.Taken(); err != nil {
		t.Error(err)
	}
}

func TestTheNewerOfTwoBrokersWins(t *testing.T) { newerWins(t, fakekafka.At(t)) }

func TestBrokersOfOtherOwnersAndLogsOfOneProcessAreLeftAlone(t *testing.T) {
	at := fakekafka.At(t)
	first := open(t, Options{Cluster: at, Owner: "cluster-1", Holder: "process-1"})
	ensure(t, first, topic.Topic{Name: "orders", Partitions: 1})
	other := open(t, Options{Cluster: at, Owner: "cluster-2"})
	sibling := open(t, Options{Cluster: at, Owner: "cluster-1", Holder: "process-1"})
	keep(t, first, "trigger.1", 3)
	for _, l := range []*Log{first, other, sibling} {
		if err := l.Taken(); err != nil {
			t.Error(err)
		}
	}
}

// lateState writes a state as a process does that has not noticed yet that another has taken over.
func lateState(t *testing.T, at cluster.Cluster, owner, holder string, value []byte, key ...string) {
	t.Helper()
	r := &kgo.Record{
		Topic: "ebb-broker-states", Key: []byte(strings.Join(key, blank)), Value: value,
		Headers: []kgo.RecordHeader{{Key: byHeader, Value: []byte(owner + blank + holder)}},
	}
	if err := foreign(t, at).ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAnOlderBrokerWritesLateIsPutRight(t *testing.T) {
	at := fakekafka.At(t)
	o := Options{Cluster: at, Owner: "cluster-1", Holder: "old"}
	old := open(t, o)
	ensure(t, old, topic.Topic{Name: "orders", Partitions: 1})
	keep(t, old, "trigger.1", 3)
	o.Holder = "new"
	newer := open(t, o)
	stream := string(partition.Stream(orders, 0))
	lateState(t, at, "cluster-1", "old", nil, kindReader, stream, "trigger.1")
	lateState(t, at, "cluster-1", "old", readerValue(1, []byte("late")), kindReader, stream, "trigger.2")
	// What the last record of each key says is all that compaction leaves.
	eventually(t, "the newer one writes again what it knows", func() bool {
		last := map[string]*kgo.Record{}
		got, err := newer.page(t.Context(), "ebb-broker-states", 0, 0, pageBytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got.records {
			last[string(r.Key)] = r
		}
		one, two := last[strings.Join([]string{kindReader, stream, "trigger.1"}, blank)], last[strings.Join([]string{kindReader, stream, "trigger.2"}, blank)]
		return one.Value != nil && two.Value == nil
	})
	o.Holder = "newest"
	newest := open(t, o)
	if one, two := kept(t, newest, "trigger.1"), kept(t, newest, "trigger.2"); one != "state" || two != "" {
		t.Errorf("%q and %q", one, two)
	}
}
