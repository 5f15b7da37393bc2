package topic

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ebb.dev/ebb/test/fakekafka"
)

// imitation is a Kafka in this process, and a client of it.
func imitation(t *testing.T) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	k, _ := fakekafka.Start(t)
	return k, connect(t, k)
}

func connect(t *testing.T, k *kfake.Cluster) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestATopicIsMadeOnce(t *testing.T) {
	_, client := imitation(t)
	calls := 0
	for i := range 2 {
		partitions, made, err := Ensure(t.Context(), client, Topic{Name: "orders", Partitions: 3}, func() { calls++ })
		if err != nil || partitions != 3 || made != (i == 0) {
			t.Fatal(partitions, made, err)
		}
	}
	if calls != 1 {
		t.Error("said to be made:", calls)
	}
	if _, _, err := Ensure(t.Context(), client, Topic{Name: "theirs", External: true}, nil); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
}

// TestATopicIsThereOnceItsLeadersKnowIt has the broker that leads a new partition hear of it after the one that was asked for the topic.
func TestATopicIsThereOnceItsLeadersKnowIt(t *testing.T) {
	k, client := imitation(t)
	var refused atomic.Int32
	k.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if refused.Add(1) > 2 {
			return nil, nil, false
		}
		k.KeepControl()
		asked := r.(*kmsg.ListOffsetsRequest)
		answer := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range asked.Topics {
			about := kmsg.NewListOffsetsResponseTopic()
			about.Topic = t.Topic
			for _, p := range t.Partitions {
				partition := kmsg.NewListOffsetsResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.UnknownTopicOrPartition.Code
				about.Partitions = append(about.Partitions, partition)
			}
			answer.Topics = append(answer.Topics, about)
		}
		return answer, nil, true
	})
	if partitions, made, err := Ensure(t.Context(), client, Topic{Name: "orders", Partitions: 2}, nil); err != nil || partitions != 2 || !made {
		t.Fatal(partitions, made, err)
	}
	if refused.Load() < 3 {
		t.Error("nobody asked the leader again")
	}
}

// TestADeletedTopicIsNotFoundAgain has a broker hear late that a topic is deleted: one made right after is another, not that one.
func TestADeletedTopicIsNotFoundAgain(t *testing.T) {
	k, client := imitation(t)
	if _, _, err := Ensure(t.Context(), client, Topic{Name: "orders", Partitions: 1}, nil); err != nil {
		t.Fatal(err)
	}
	late := connect(t, k)
	k.ControlKey(int16(kmsg.DeleteTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		asked := r.(*kmsg.DeleteTopicsRequest)
		answer := asked.ResponseKind().(*kmsg.DeleteTopicsResponse)
		agreed := kmsg.NewDeleteTopicsResponseTopic()
		agreed.Topic = kmsg.StringPtr("orders")
		answer.Topics = append(answer.Topics, agreed)
		time.AfterFunc(100*time.Millisecond, func() {
			request := kmsg.NewPtrDeleteTopicsRequest()
			request.TopicNames = []string{"orders"}
			request.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("orders")}}
			request.TimeoutMillis = 10_000
			_, _ = request.RequestWith(context.Background(), late)
		})
		return answer, nil, true
	})
	if err := Delete(t.Context(), client, "orders"); err != nil {
		t.Fatal(err)
	}
	if _, made, err := Ensure(t.Context(), client, Topic{Name: "orders", Partitions: 1}, nil); err != nil || !made {
		t.Fatal(made, err)
	}
	if err := Delete(t.Context(), client, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := Delete(t.Context(), client, "orders"); err != nil {
		t.Error("deleted twice:", err)
	}
}
