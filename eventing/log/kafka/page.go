package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ebb.dev/ebb/eventing/kafka/topic"
)

// pageBytes is how much is asked for at once where a reader is behind.
const pageBytes = 1 << 20

// page is what one fetch brought.
type page struct {
	records []*kgo.Record
	// next is the offset to go on with, end the one that the next record will get.
	next, end int64
}

// settle is how long a partition is given to have another leader before it is asked for again.
const settle = 20 * time.Millisecond

// fresh is how old what is known about a topic's brokers may be.
const fresh = time.Minute

// page reads what a partition has from an offset on, without waiting for more. It tries again, until the context ends, while the partition
// changes its leader.
func (l *Log) page(ctx context.Context, topic string, n int32, offset int64, most int32) (page, error) {
	age := fresh
	for {
		got, err := l.fetch(ctx, topic, n, offset, most, age)
		if err == nil || !moving(err) {
			return got, err
		}
		age = time.Nanosecond
		select {
		case <-ctx.Done():
			return page{}, err
		case <-time.After(settle):
		}
	}
}

// moving says that another broker may know.
func moving(err error) bool {
	return errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.LeaderNotAvailable) || errors.Is(err, kerr.ReplicaNotAvailable) ||
		errors.Is(err, kerr.FencedLeaderEpoch) || errors.Is(err, kerr.UnknownLeaderEpoch) || errors.Is(err, kerr.UnknownTopicID) ||
		errors.Is(err, kerr.KafkaStorageError) || errors.Is(err, kerr.OffsetNotAvailable) || kgo.IsRetryableBrokerErr(err)
}

func (l *Log) fetch(ctx context.Context, topic string, n int32, offset int64, most int32, age time.Duration) (page, error) {
	leader, id, err := l.leader(ctx, topic, n, age)
	if err != nil {
		return page{}, err
	}
	request := kmsg.NewPtrFetchRequest()
	request.MaxBytes, request.IsolationLevel = most, 1
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = n, offset, most
	asked := kmsg.NewFetchRequestTopic()
	asked.Topic, asked.TopicID, asked.Partitions = topic, id, []kmsg.FetchRequestTopicPartition{part}
	request.Topics = []kmsg.FetchRequestTopic{asked}
	answer, err := l.client.Broker(int(leader)).RetriableRequest(ctx, request)
	if err != nil {
		return page{}, err
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return page{}, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return page{}, fmt.Errorf("Kafka answered for %d topics instead of one", len(response.Topics))
	}
	return parsePage(topic, offset, &response.Topics[0].Partitions[0])
}

var decompressor = kgo.DefaultDecompressor()

func parsePage(topic string, offset int64, part *kmsg.FetchResponseTopicPartition) (page, error) {
	if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
		return page{}, err
	}
	options := kgo.ProcessFetchPartitionOpts{Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: part.Partition}
	parsed, next := kgo.ProcessFetchPartition(options, part, decompressor, nil)
	if parsed.Err != nil {
		return page{}, parsed.Err
	}
	end := part.HighWatermark
	if part.LastStableOffset >= 0 {
		end = min(end, part.LastStableOffset)
	}
	return page{records: parsed.Records, next: next, end: end}, nil
}

// leader is the broker that has a partition, and the topic's own identity.
func (l *Log) leader(ctx context.Context, name string, n int32, age time.Duration) (int32, [16]byte, error) {
	metadata, err := l.client.RequestCachedMetadata(ctx, topic.Ask(name), age)
	if err != nil {
		return 0, [16]byte{}, err
	}
	t, err := topic.Find(metadata, name)
	if err != nil {
		return 0, [16]byte{}, err
	}
	for _, p := range t.Partitions {
		if p.Partition != n {
			continue
		}
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return 0, [16]byte{}, err
		}
		return p.Leader, t.TopicID, nil
	}
	return 0, [16]byte{}, kerr.UnknownTopicOrPartition
}

// offset asks for the first offset of a partition at a time in milliseconds, or one of its ends; -1 if there is none.
func (l *Log) offset(ctx context.Context, name string, n int32, millis int64) (int64, error) {
	response, err := topic.AskOffsets(name, millis, n).RequestWith(ctx, l.client)
	if err != nil {
		return 0, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("Kafka answered for %d topics instead of one", len(response.Topics))
	}
	answer := response.Topics[0].Partitions[0]
	return answer.Offset, kerr.ErrorForCode(answer.ErrorCode)
}
