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
// made: what is known of one of that name is about another.
func Ensure(ctx context.Context, client *kgo.Client, t Topic, making func()) (partitions int32, made bool, err error) {
	partitions, err = Partitions(ctx, client, t.Name)
	if err == nil || !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return partitions, false, err
	}
	if t.External {
		return 0, false, ErrMissing
	}
	if making != nil {
		making()
	}
	if made, err = create(ctx, client, t); err != nil {
		return 0, false, err
	}
	for {
		// Every broker hears of it soon.
		if partitions, err = Partitions(ctx, client, t.Name); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return partitions, made, err
		}
		select {
		case <-ctx.Done():
			return 0, made, err
		case <-time.After(settle):
		}
	}
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

// Find is what an answer says about a topic.
func Find(metadata *kmsg.MetadataResponse, name string) (kmsg.MetadataResponseTopic, error) {
	for _, t := range metadata.Topics {
		if t.Topic != nil && *t.Topic == name {
			return t, kerr.ErrorForCode(t.ErrorCode)
		}
	}
	return kmsg.MetadataResponseTopic{}, kerr.UnknownTopicOrPartition
}
