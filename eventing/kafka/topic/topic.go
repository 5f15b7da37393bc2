package topic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is what a topic is to be like.
type Topic struct {
	Name string
	// Partitions and Replication are those of a topic that is made; zero is Kafka's own default.
	Partitions  int32
	Replication int16
	// Config is further settings of a topic that is made, by Kafka's names.
	Config map[string]string
	// External topics are somebody else's: they are neither made nor deleted.
	External bool
}

// ErrMissing: the topic does not exist, and is not ours to make.
var ErrMissing = errors.New("it does not exist")

// settle is how long Kafka's brokers are given between two questions about what one of them has just agreed to.
const settle = 20 * time.Millisecond

// Ensure makes a topic, or finds it, and returns how many partitions it has, and whether it was made. making, if any, is called before one is
// made: what is known of one of that name is about another. Brokers hear of what is made and deleted one after the other: a topic is there
// once those that lead its partitions know them.
func Ensure(ctx context.Context, client *kgo.Client, t Topic, making func()) (partitions int32, made bool, err error) {
	for {
		partitions, err = Partitions(ctx, client, t.Name)
		switch {
		case err == nil && led(ctx, client, t.Name, partitions):
			return partitions, made, nil
		case err == nil:
			err = kerr.UnknownTopicOrPartition
		case !errors.Is(err, kerr.UnknownTopicOrPartition):
			return 0, made, err
		case t.External:
			return 0, false, ErrMissing
		case !made:
			if making != nil {
				making()
			}
			if made, err = create(ctx, client, t); err != nil {
				return 0, false, err
			}
		}
		select {
		case <-ctx.Done():
			return 0, made, fmt.Errorf("its brokers have not heard of it: %w", errors.Join(err, ctx.Err()))
		case <-time.After(settle):
		}
	}
}

// led reports whether no broker that is to lead a partition of a topic says that there is no such partition. One that cannot be asked says nothing.
func led(ctx context.Context, client *kgo.Client, name string, partitions int32) bool {
	asked := make([]int32, partitions)
	for n := range partitions {
		asked[n] = n
	}
	request := AskOffsets(name, Latest, asked...)
	for _, shard := range client.RequestSharded(ctx, request) {
		if errors.Is(shard.Err, kerr.UnknownTopicOrPartition) {
			return false
		}
		response, ok := shard.Resp.(*kmsg.ListOffsetsResponse)
		if shard.Err != nil || !ok {
			continue
		}
		for _, t := range response.Topics {
			for _, p := range t.Partitions {
				if errors.Is(kerr.ErrorForCode(p.ErrorCode), kerr.UnknownTopicOrPartition) {
					return false
				}
			}
		}
	}
	return true
}

// Delete deletes a topic, if it is there, and waits until no broker of those that answer knows it: it is not found again by whoever makes
// another of its name.
func Delete(ctx context.Context, client *kgo.Client, name string) error {
	answers, err := kadm.NewClient(client).DeleteTopics(ctx, name)
	if err == nil {
		err = answers.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	if err != nil {
		return err
	}
	deleted := answers[name].ID
	for _, broker := range client.DiscoveredBrokers() {
		for knows(ctx, broker, name, deleted) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("it is deleted, but not every broker has heard of it: %w", ctx.Err())
			case <-time.After(settle):
			}
		}
	}
	return nil
}

// knows reports whether a broker says that it has a topic of a name and an identity, if that is known.
func knows(ctx context.Context, broker *kgo.Broker, name string, id [16]byte) bool {
	answer, err := broker.Request(ctx, Ask(name))
	if err != nil {
		return false
	}
	metadata, ok := answer.(*kmsg.MetadataResponse)
	if !ok {
		return false
	}
	t, err := Find(metadata, name)
	return err == nil && (id == [16]byte{} || t.TopicID == id)
}

// create makes a topic, unless somebody else has meanwhile.
func create(ctx context.Context, client *kgo.Client, t Topic) (made bool, err error) {
	config := make(map[string]*string, len(t.Config))
	for key, value := range t.Config {
		config[key] = &value
	}
	partitions, replication := t.Partitions, t.Replication
	if partitions <= 0 {
		partitions = -1
	}
	if replication <= 0 {
		replication = -1
	}
	answer, err := kadm.NewClient(client).CreateTopic(ctx, partitions, replication, config, t.Name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case answer.ErrMessage != "":
		return false, fmt.Errorf("make it with %d partitions and replication factor %d: %w: %s", t.Partitions, t.Replication, err, answer.ErrMessage)
	}
	return false, fmt.Errorf("make it with %d partitions and replication factor %d: %w", t.Partitions, t.Replication, err)
}

// Partitions asks how many partitions a topic has.
func Partitions(ctx context.Context, client *kgo.Client, name string) (int32, error) {
	metadata, err := Ask(name).RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	t, err := Find(metadata, name)
	return int32(len(t.Partitions)), err
}

// Ask is the question about a topic.
func Ask(name string) *kmsg.MetadataRequest {
	request := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = kmsg.StringPtr(name)
	request.Topics = []kmsg.MetadataRequestTopic{asked}
	return request
}

// The times that ask for the ends of a partition.
const (
	Latest   = -1
	Earliest = -2
)

// AskOffsets is the question for the first offsets of partitions at a time in milliseconds, or for one of their ends.
func AskOffsets(name string, millis int64, partitions ...int32) *kmsg.ListOffsetsRequest {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID, request.IsolationLevel = -1, 1
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = name
	for _, n := range partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = n, millis
		asked.Partitions = append(asked.Partitions, partition)
	}
	request.Topics = []kmsg.ListOffsetsRequestTopic{asked}
	return request
}

// Find is what an answer says about a topic.
func Find(metadata *kmsg.MetadataResponse, name string) (kmsg.MetadataResponseTopic, error) {
	for _, t := range metadata.Topics {
		if t.Topic != nil && *t.Topic == name {
			return t, kerr.ErrorForCode(t.ErrorCode)
		}
	}
	return kmsg.MetadataResponseTopic{}, kerr.UnknownTopicOrPartition
}
