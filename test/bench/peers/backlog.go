package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Backlog says what is written to a Kafka that runs, for others to read.
type Backlog struct {
	// Server is one of its servers; Topic is made if it is not there.
	Server, Topic string
	// Records of Bytes are written, to one partition after the other. With a Type they are events of it.
	Records, Bytes int
	Type           string
}

// Write writes it, and returns when all is acknowledged.
func (b Backlog) Write(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Server), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, Partitions, 1, nil, b.Topic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("make topic %s: %w", b.Topic, err)
	}
	data := bytes.Repeat([]byte("x"), b.Bytes)
	var failed kgo.FirstErrPromise
	for n := range b.Records {
		client.Produce(ctx, &kgo.Record{Topic: b.Topic, Value: data, Headers: b.headers(n)}, failed.Promise())
	}
	if err := failed.Err(); err != nil {
		return fmt.Errorf("write to topic %s: %w", b.Topic, err)
	}
	return nil
}

// headers are those of an event in binary mode.
func (b Backlog) headers(n int) []kgo.RecordHeader {
	if b.Type == "" {
		return nil
	}
	return []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte(b.Type)}, {Key: "ce_source", Value: []byte("/bench")},
		{Key: "ce_id", Value: strconv.AppendInt([]byte("backlog-"), int64(n), 10)}, {Key: "content-type", Value: []byte("text/plain")},
	}
}

// Lag is how many records of a topic a consumer group has not committed.
func Lag(ctx context.Context, server, group, topic string) (int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(server))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("ends of topic %s: %w", topic, err)
	}
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return 0, fmt.Errorf("offsets of consumer group %s: %w", group, err)
	}
	sum := int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		at, _ := committed.Lookup(end.Topic, end.Partition)
		sum += end.Offset - max(at.At, 0)
	})
	return sum, nil
}
