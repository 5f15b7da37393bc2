package testbed

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
)

// KafkaSource says what is special about a KafkaSource of these benchmarks.
type KafkaSource struct {
	// Server is one of Kafka's, Group the consumer group; what the topic has is read from its beginning.
	Name, Server, Topic, Group string
	Ordered                    bool
	// Service is the Knative Service that gets the events.
	Service string
}

func (k KafkaSource) object() *sourcesv1.KafkaSource {
	out := &sourcesv1.KafkaSource{ObjectMeta: metav1.ObjectMeta{Namespace: Services, Name: k.Name}}
	ordering := sourcesv1.Unordered
	if k.Ordered {
		ordering = sourcesv1.Ordered
	}
	out.Spec.BootstrapServers, out.Spec.Topics, out.Spec.ConsumerGroup = []string{k.Server}, []string{k.Topic}, k.Group
	out.Spec.InitialOffset, out.Spec.Ordering = sourcesv1.OffsetEarliest, &ordering
	out.Spec.Sink = duck.Destination{Ref: &duck.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Name: k.Service}}
	return out
}

// CreateKafkaSource makes a KafkaSource and returns when it is made, which is before it reads.
func (b *Bed) CreateKafkaSource(ctx context.Context, k KafkaSource) error {
	if err := b.Client.Create(ctx, k.object()); err != nil {
		return fmt.Errorf("create KafkaSource %s: %w", k.Name, err)
	}
	return nil
}

// StartTrigger makes a Trigger and returns when it is made, which is before it delivers.
func (b *Bed) StartTrigger(ctx context.Context, t Trigger) error {
	if err := b.Client.Create(ctx, t.object()); err != nil {
		return fmt.Errorf("create Trigger %s: %w", t.Name, err)
	}
	return nil
}

// RemoveKafkaSource removes a KafkaSource, and returns when it is gone.
func (b *Bed) RemoveKafkaSource(ctx context.Context, name string) error {
	return b.removed(ctx, &sourcesv1.KafkaSource{ObjectMeta: metav1.ObjectMeta{Namespace: Services, Name: name}})
}

// RemoveTrigger removes a Trigger, and returns when it is gone.
func (b *Bed) RemoveTrigger(ctx context.Context, name string) error {
	return b.removed(ctx, &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: Services, Name: name}})
}

// removed removes an object, if it is there, and returns when it is gone.
func (b *Bed) removed(ctx context.Context, o client.Object) error {
	if err := client.IgnoreNotFound(b.Client.Delete(ctx, o)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, eventsReadyTimeout)
	defer cancel()
	key := client.ObjectKeyFromObject(o)
	return Until(ctx, "remove "+key.Name, func() error {
		err := b.Client.Get(ctx, key, o)
		if err == nil {
			err = errors.New("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
}
