package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/test/bench/load"
)

// KafkaCommand is the hidden subcommand under which the program that imports this package serves ServeKafka.
const KafkaCommand = "kafka"

// Kafka says what is produced to a Kafka that runs.
type Kafka struct {
	// Server is one of its servers; Topic is made if it is not there.
	Server string `json:"server"`
	Topic  string `json:"topic"`
	// Clients produce at the same time, each the next record of Bytes when all replicas have acknowledged the one before.
	Clients int `json:"clients"`
	Bytes   int `json:"bytes"`
	// Warmup is not counted, Duration is.
	Warmup   time.Duration `json:"warmup"`
	Duration time.Duration `json:"duration"`
}

// ServeKafka is the process of its own: a Kafka in, a load.Result out, both JSON.
func ServeKafka(ctx context.Context, in io.Reader, out io.Writer) error {
	return load.Answer(ctx, in, out, Produce)
}

// Process produces in a process of its own.
func (k Kafka) Process(ctx context.Context) (load.Result, error) {
	var result load.Result
	err := load.Apart(ctx, KafkaCommand, k, &result)
	return result, err
}

// Produce makes the topic and produces to it.
func Produce(ctx context.Context, k Kafka) (load.Result, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Server), kgo.ProducerLinger(0))
	if err != nil {
		return load.Result{}, err
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(ctx, k.Topic)
	if err != nil {
		return load.Result{}, fmt.Errorf("ask Kafka at %s: %w", k.Server, err)
	}
	if !topics.Has(k.Topic) {
		if _, err := kadm.NewClient(client).CreateTopic(ctx, Partitions, 1, nil, k.Topic); err != nil {
			return load.Result{}, fmt.Errorf("make topic %s: %w", k.Topic, err)
		}
	}
	data := bytes.Repeat([]byte("x"), k.Bytes)
	return saturate(ctx, k.Clients, k.Warmup, k.Duration, func() error {
		return client.ProduceSync(ctx, &kgo.Record{Topic: k.Topic, Value: data}).FirstErr()
	}), ctx.Err()
}

// Partitions are as many as a topic of a Broker has by default.
const Partitions = 10
