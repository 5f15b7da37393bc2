package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
	"ebb.dev/ebb/test/fakekafka"
)

const orders = model.StreamID("broker.orders")

func ensure(t *testing.T, l *Log, in topic.Topic) {
	t.Helper()
	if err := l.EnsureTopic(t.Context(), model.Stream{ID: orders, Kind: model.Broker, Limits: model.Limits{Dedupe: time.Minute}}, in); err != nil {
		t.Fatal(err)
	}
}

// keyed is an event with a partition key.
func keyed(id, key string) *event.Event {
	e := logtest.Event("s", id, 10)
	e.SetExtension("partitionkey", key)
	return e
}

// read follows a partition until it has a number of records.
func read(t *testing.T, l log.Log, id model.StreamID, from log.Position, n int) []log.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []log.Record
	enough := errors.New("enough")
	err := l.Follow(ctx, id, from, func(r log.Record) error {
		if out = append(out, r); len(out) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("after %d of %d records: %v", len(out), n, err)
	}
	return out
}

// foreign is a client of somebody else.
func foreign(t *testing.T, c cluster.Cluster, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	options, err := c.Options("foreign")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestKeysGoWhereKafkasOwnClientsPutThem(t *testing.T) {
	c := fakekafka.At(t)
	l := open(t, Options{Cluster: c})
	ensure(t, l, topic.Topic{Name: "orders", Partitions: 5})
	other := foreign(t, c, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	for i := range 20 {
		key := fmt.Sprint("customer-", i)
		theirs, err := other.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Key: []byte(key)}).First()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), orders, keyed(key, key)); err != nil {
			t.Fatal(err)
		}
		in := partition.Stream(orders, theirs.Partition)
		_, next, err := l.Bounds(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if records, err := l.Get(t.Context(), in, next-1); err != nil || len(records) != 1 || records[0].Event.ID() != key {
			t.Fatalf("key %s is not in partition %d: %v, %v", key, theirs.Partition, records, err)
		}
	}
}

func TestEveryPartitionIsAStream(t *testing.T) {
	l := open(t, Options{Cluster: fakekafka.At(t)})
	ensure(t, l, topic.Topic{Name: "orders", Partitions: 3})
	for i := range 30 {
		if _, err := l.Append(t.Context(), orders, logtest.Event("s", fmt.Sprint(i), 10)); err != nil {
			t.Fatal(err)
		}
	}
	partitions, err := l.Partitions(orders)
	if err != nil || len(partitions) != 3 {
		t.Fatal(partitions, err)
	}
	seen := map[string]bool{}
	for _, p := range partitions {
		_, next, err := l.Bounds(t.Context(), p)
		if err != nil || next == 1 {
			t.Fatalf("%s is empty, %v", p, err)
		}
		for _, r := range read(t, l, p, 0, int(next-1)) {
			seen[r.Event.ID()] = true
		}
	}
	if len(seen) != 30 {
		t.Fatalf("%d of 30 events", len(seen))
	}
	if _, _, err := l.Bounds(t.Context(), orders); err == nil {
		t.Error("a topic of several partitions has no order of its own")
	}
	if _, _, err := l.Bounds(t.Context(), partition.Stream(orders, 3)); !errors.Is(err, log.ErrUnknown) {
		t.Error(err)
	}
}

func TestRecordsOfOthersDoNotStopReaders(t *testing.T) { recordsOfOthers(t, fakekafka.At(t)) }

func recordsOfOthers(t *testing.T, at cluster.Cluster) {
	name := unique()
	metrics := NewMetrics(nil)
	l := open(t, Options{Cluster: at, Name: unique(), Metrics: metrics})
	ensure(t, l, topic.Topic{Name: name, Partitions: 1})
	other := foreign(t, at, kgo.TransactionalID(name))
	write := func(id string) {
		if _, err := l.Append(t.Context(), orders, logtest.Event("s", id, 10)); err != nil {
			t.Fatal(err)
		}
	}
	foreignWrites := func(commit kgo.TransactionEndTry) {
		if err := other.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		records := []*kgo.Record{
			{Topic: name, Value: []byte("plain")},
			{Topic: name, Headers: []kgo.RecordHeader{{Key: "ce_specversion", Value: []byte("1.0")}}},
		}
		if err := other.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := other.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	foreignWrites(kgo.TryCommit)
	write("2")
	foreignWrites(kgo.TryAbort)
	write("3")
	if got := read(t, l, orders, 0, 3); got[2].Event.ID() != "3" {
		t.Fatal(got)
	}
	var group sync.WaitGroup
	_, next, err := l.Bounds(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	group.Go(func() {
		if got := read(t, l, orders, next, 2); got[0].Event.ID() != "4" || got[1].Event.ID() != "5" {
			t.Error(got)
		}
	})
	write("4")
	foreignWrites(kgo.TryAbort)
	foreignWrites(kgo.TryCommit)
	write("5")
	group.Wait()
	if n := testutil.ToFloat64(metrics.skipped.WithLabelValues(name)); n < 4 {
		t.Errorf("%v records passed over, 4 were", n)
	}
}

func TestEventsAreReadFromManyAtOnce(t *testing.T) {
	c := fakekafka.At(t, kfake.NumBrokers(3))
	l := open(t, Options{Cluster: c})
	ensure(t, l, topic.Topic{Name: "orders", Partitions: 6, Replication: 1})
	const each = 3 * tailRecords
	var group sync.WaitGroup
	for n := range int32(6) {
		for range 2 {
			group.Go(func() {
				for i, r := range read(t, l, partition.Stream(orders, n), 0, each) {
					if r.Position != log.Position(i+1) || r.Event.ID() != fmt.Sprint(n, "-", i) {
						t.Errorf("partition %d: %s at %d instead of %d", n, r.Event.ID(), r.Position, i+1)
						return
					}
				}
			})
		}
		group.Go(func() {
			events := make([]*event.Event, each)
			for i := range events {
				events[i] = logtest.Event("s", fmt.Sprint(n, "-", i), 2000)
			}
			for len(events) > 0 {
				if _, err := l.Append(t.Context(), partition.Stream(orders, n), events[:64]...); err != nil {
					t.Error(err)
					return
				}
				events = events[64:]
			}
		})
	}
	group.Wait()
}

func whoLags(t *testing.T, c cluster.Cluster) {
	l := open(t, Options{Cluster: c, Name: unique(), CommitEvery: 20 * time.Millisecond})
	ensure(t, l, topic.Topic{Name: unique(), Partitions: 2})
	for i := range 20 {
		if _, err := l.Append(t.Context(), partition.Stream(orders, int32(i%2)), logtest.Event("s", fmt.Sprint(i), 10)); err != nil {
			t.Fatal(err)
		}
	}
	const group = "knative-trigger-default-billing"
	l.Group("trigger.1", group)
	for n, position := range []log.Position{10, 4} {
		if err := l.Keep(t.Context(), partition.Stream(orders, int32(n)), partition.Reader("trigger.1", int32(n)), position, []byte("state")); err != nil {
			t.Fatal(err)
		}
	}
	admin := kadm.NewClient(foreign(t, c))
	eventually(t, "a lag of 6", func() bool {
		lags, err := admin.Lag(t.Context(), group)
		return err == nil && lags[group].Lag.Total() == 6
	})
	if at, err := l.Committed(t.Context(), partition.Stream(orders, 1), group); err != nil || at != 5 {
		t.Errorf("the reader would go on at %d, %v", at, err)
	}
	if at, err := l.Committed(t.Context(), partition.Stream(orders, 1), "nobody"); err != nil || at != 0 {
		t.Errorf("a group that is not there is at %d, %v", at, err)
	}
	for n := range int32(2) {
		if err := l.Forget(t.Context(), partition.Stream(orders, n), partition.Reader("trigger.1", n)); err != nil {
			t.Fatal(err)
		}
	}
	groups, err := admin.ListGroups(t.Context())
	if _, left := groups[group]; err != nil || left {
		t.Errorf("left: %v, %v", groups, err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not so in time: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
