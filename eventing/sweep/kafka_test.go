package sweep

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log/kafka"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
	"ebb.dev/ebb/test/fakekafka"
)

// another is the UID of one more object that is gone.
func another(digit string) string { return strings.Repeat(digit, 8) + gone[8:] }

// onKafka opens a log of a cluster.
func onKafka(t *testing.T, at cluster.Cluster, owner string) *kafka.Log {
	t.Helper()
	l, err := kafka.Open(t.Context(), kafka.Options{Cluster: at, Owner: owner, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// fill makes a stream of a topic, with readers in both of its partitions, each shown by a group of its name.
func fill(t *testing.T, l *kafka.Log, stream, name string, external bool, readers ...string) {
	t.Helper()
	id := model.StreamID(stream)
	if err := l.EnsureTopic(t.Context(), model.Stream{ID: id}, topic.Topic{Name: name, Partitions: 2, Replication: 1, External: external}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), id, logtest.Event("s", "1", 0)); err != nil {
		t.Fatal(err)
	}
	for _, r := range readers {
		l.Group(model.ReaderID(r), "group-of-"+name+"-"+r)
		for n := range int32(2) {
			if err := l.Keep(t.Context(), partition.Stream(id, n), partition.Reader(model.ReaderID(r), n), 1, []byte("state")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestOnKafkaOnlyItsOwnTopicsAreSwept has everything deleted but one Broker and one of its Triggers while no broker ran.
func TestOnKafkaOnlyItsOwnTopicsAreSwept(t *testing.T) {
	at := fakekafka.At(t)
	client, err := at.Connect(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	for _, name := range []string{"somebody-elses", "there-before"} {
		if _, err := admin.CreateTopic(t.Context(), 2, 1, nil, name); err != nil {
			t.Fatal(err)
		}
	}
	before := onKafka(t, at, "cluster-1")
	fill(t, before, "broker."+there, "orders", false, "trigger."+there, "trigger."+gone)
	fill(t, before, "broker."+gone, "gone", false, "trigger."+another("3"))
	fill(t, before, "broker."+another("4"), "somebody-elses", true, "trigger."+another("4"))
	fill(t, before, "broker."+another("5"), "there-before", false)
	fill(t, before, "broker."+another("6"), "external-now", false)
	before.Close()
	fill(t, onKafka(t, at, "cluster-2"), "broker."+another("7"), "of-another-cluster", false)

	after := onKafka(t, at, "cluster-1")
	s := swept(t, &memory.Log{}, "cluster-1", interceptor.Funcs{}, objects()...)
	s.Log = kafka.Owned{Log: after, Spared: func(context.Context) (map[string]bool, error) { return map[string]bool{"external-now": true}, nil }}
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	topics, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ebb-broker-states", "external-now", "of-another-cluster", "orders", "somebody-elses", "there-before"}
	if got := topics.Names(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("topics %v", got)
	}
	groups, err := admin.ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Collect(maps.Keys(groups)); !slices.Equal(got, []string{"group-of-orders-trigger." + there}) {
		t.Errorf("groups %v", got)
	}
	left, err := after.Readers(t.Context(), "broker."+there)
	if err != nil || len(left) != 2 {
		t.Errorf("readers %v, %v", left, err)
	}
	if plan, err := s.Sweep(t.Context()); err != nil || len(plan.Streams)+len(plan.Readers) > 0 {
		t.Errorf("again: %+v, %v", plan, err)
	}
}

func TestALogOnKafkaOfAnotherClusterIsLeftAlone(t *testing.T) {
	l := onKafka(t, fakekafka.At(t), "cluster-1")
	s := swept(t, &memory.Log{}, "cluster-2", interceptor.Funcs{})
	s.Log = kafka.Owned{Log: l}
	if _, err := s.Sweep(t.Context()); !errors.Is(err, kafka.ErrOwner) {
		t.Error(err)
	}
}
