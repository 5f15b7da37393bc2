package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/record"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/model"
)

// Target is where the events of a sink go.
type Target struct {
	Cluster    cluster.Cluster
	Topic      topic.Topic
	Structured bool
}

// The reasons why an event is not taken.
var (
	// ErrUnknown: there is no such sink, or it has no topic yet.
	ErrUnknown = errors.New("there is no such KafkaSink, or it is not ready yet")
	// ErrTooLarge: Kafka does not take events of that size.
	ErrTooLarge = errors.New("the event is larger than the topic takes")
	// ErrInvalid: an extension of the event has no form as text.
	ErrInvalid = errors.New("the event is not valid")
)

// answerWithin bounds how long Kafka may take to make a topic or to confirm an event.
const answerWithin = 10 * time.Second

// bufferBytes bounds the events on their way to one cluster.
const bufferBytes = 32 << 20

// Topics writes the events of sinks, with one producer for each cluster.
type Topics struct {
	mu        sync.Mutex
	sinks     map[model.Key]*sink
	producers map[string]*producer
}

type sink struct {
	target   Target
	producer *producer
}

// producer writes to one cluster.
type producer struct {
	cluster cluster.Cluster
	id      string
	client  *kgo.Client
	// uses is how many sinks have it; Topics.mu guards it.
	uses int
}

// NewTopics knows no sink.
func NewTopics() *Topics {
	return &Topics{sinks: map[model.Key]*sink{}, producers: map[string]*producer{}}
}

// Set says where the events of a sink go, and sees that its topic is there. A sink that it fails for keeps what it had.
func (t *Topics) Set(ctx context.Context, name model.Key, target Target) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	p, err := t.producer(ctx, target.Cluster)
	if err != nil {
		return err
	}
	_, _, err = topic.Ensure(ctx, p.client, target.Topic, func() { p.client.PurgeTopicsFromProducing(target.Topic.Name) })
	if err != nil {
		t.release(p)
		if errors.Is(err, topic.ErrMissing) {
			return fmt.Errorf("topic %s: %w: make it, or name spec.numPartitions and spec.replicationFactor", target.Topic.Name, err)
		}
		return fmt.Errorf("topic %s: %w", target.Topic.Name, cluster.Explain(target.Cluster, err))
	}
	t.mu.Lock()
	old := t.sinks[name]
	t.sinks[name] = &sink{target, p}
	t.mu.Unlock()
	if old != nil {
		t.release(old.producer)
	}
	return nil
}

// Remove forgets a sink. Its topic stays.
func (t *Topics) Remove(name model.Key) {
	t.mu.Lock()
	old := t.sinks[name]
	delete(t.sinks, name)
	t.mu.Unlock()
	if old != nil {
		t.release(old.producer)
	}
}

// Close ends all producers.
func (t *Topics) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.producers {
		p.client.Close()
	}
	t.sinks, t.producers = map[model.Key]*sink{}, map[string]*producer{}
}

// producer finds the one of a cluster, or makes it; release gives it back.
func (t *Topics) producer(ctx context.Context, c cluster.Cluster) (*producer, error) {
	id := c.ID()
	if p := t.use(id); p != nil {
		return p, nil
	}
	client, err := c.Connect(ctx, "ebb-kafka-sink",
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(answerWithin), kgo.MaxBufferedBytes(bufferBytes))
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.producers[id]; p != nil {
		// Another sink was quicker.
		client.Close()
		p.uses++
		return p, nil
	}
	p := &producer{cluster: c, id: id, client: client, uses: 1}
	t.producers[id] = p
	return p, nil
}

func (t *Topics) use(id string) *producer {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.producers[id]
	if p != nil {
		p.uses++
	}
	return p
}

func (t *Topics) release(p *producer) {
	t.mu.Lock()
	p.uses--
	unused := p.uses == 0
	if unused {
		delete(t.producers, p.id)
	}
	t.mu.Unlock()
	if unused {
		p.client.Close()
	}
}

// Append writes events to a sink's topic and returns when Kafka has them all.
func (t *Topics) Append(ctx context.Context, name model.Key, events ...*event.Event) error {
	t.mu.Lock()
	s := t.sinks[name]
	t.mu.Unlock()
	if s == nil {
		return ErrUnknown
	}
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		encode := record.Binary
		if s.target.Structured {
			encode = record.Structured
		}
		r, err := encode(e)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		r.Topic = s.target.Topic.Name
		records[i] = r
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	done := make(chan error, len(records))
	for _, r := range records {
		// Not with the sender's context: who goes away must not take others' records along.
		s.producer.client.TryProduce(context.WithoutCancel(ctx), r, func(_ *kgo.Record, err error) { done <- err })
	}
	for range records {
		select {
		case err := <-done:
			switch {
			case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
				return ErrTooLarge
			case err != nil:
				return fmt.Errorf("topic %s: %w", s.target.Topic.Name, cluster.Explain(s.producer.cluster, err))
			}
		case <-ctx.Done():
			return fmt.Errorf("topic %s: Kafka has not confirmed the event, and may store it yet: %w", s.target.Topic.Name, ctx.Err())
		}
	}
	return nil
}
