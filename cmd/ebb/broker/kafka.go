package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/utils/clock"

	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	brokers "ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/flow"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/log/kafka"
	"ebb.dev/ebb/eventing/log/placed"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
	sink "ebb.dev/ebb/eventing/sink/kafka"
	source "ebb.dev/ebb/eventing/source/kafka"
)

// everywhere is the process's own log and the clusters of Kafka that streams are placed in, as one.
func (p *process) everywhere() *placed.Log {
	l := placed.New(p.log, kafka.Options{Metrics: kafka.NewMetrics(p.registry), Logger: p.Log})
	l.Hooks = placed.Hooks{Owner: p.cluster, Opened: p.sweepKafka}
	return l
}

// accept takes replies back: what answered an event of one partition goes into the stream, and to where it belongs there. After a start a reader
// may be there before the stream that it reads takes events.
func (p *process) accept(ctx context.Context, id model.StreamID, events ...*event.Event) error {
	base, _ := partition.Of(id)
	if _, is := p.streams.Stream(base); !is && !p.streams.Settled() {
		return fmt.Errorf("stream %s: %w", base, dispatch.ErrNotYet)
	}
	return p.ingress.Accept(ctx, base, events...)
}

// readers hands readers to the dispatcher, one for each partition of what they read.
func (p *process) readers() *partition.Readers {
	return &partition.Readers{Dispatcher: p.dispatcher, Log: p.placed, Group: func(r model.Reader) string {
		if r.Kind == model.Trigger {
			return brokers.GroupOf(r)
		}
		channel, _ := p.streams.Stream(r.Stream)
		return flow.GroupOf(channel, r)
	}}
}

// kafkaSources adds the controllers of KafkaSources and KafkaSinks.
func (p *process) kafkaSources(resolver *destination.Resolver, secrets *settings.Reader) error {
	c := p.manager.GetClient()
	p.kafkaRunner = source.NewRunner(p.sender, source.NewMetrics(p.registry), p.Log)
	p.kafkaTopics = sink.NewTopics()
	p.hosts(sink.Host, &eventingv1alpha1.KafkaSink{}, sink.NewHandler(p.kafkaTopics, p.Log))
	sources := &source.Reconciler{Client: c, Secrets: secrets, Resolver: resolver, Exposer: p.reach, Runner: p.kafkaRunner, Accounts: p.accounts, Clock: clock.RealClock{}}
	sinks := &sink.Reconciler{
		Client: c, Secrets: secrets, Exposer: p.reach, Topics: p.kafkaTopics, Policies: p.policies, ClusterDomain: p.ClusterDomain, Clock: clock.RealClock{},
	}
	return errors.Join(sources.Setup(p.manager), sinks.Setup(p.manager))
}

// closeKafka ends what reads topics and writes to them for KafkaSources and KafkaSinks.
func (p *process) closeKafka() {
	p.kafkaRunner.Close()
	p.kafkaTopics.Close()
}
