package events

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/peers"
	"ebb.dev/ebb/test/bench/testbed"
	"ebb.dev/ebb/test/kafka"
)

// The subjects besides those of the default class, and the Brokers.
const (
	ofKafka           = "Ebb, class Kafka"
	rawKafka          = "raw Kafka"
	kafkaAcceptBroker = "kafka-accept"
	kafkaReachBroker  = "kafka-reach"
)

// kafka measures Brokers of class Kafka beside those of the default class, with a Kafka of one server on the same disk.
func (r *run) kafka(ctx context.Context) (err error) {
	jars, err := kafka.Fetch(ctx)
	if missing, ok := errors.AsType[*kafka.Missing](err); ok {
		return unavailable{missing.Error()}
	}
	if err != nil {
		return err
	}
	dir := filepath.Join(r.Dir, "kafka")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	server, err := kafka.New(ctx, jars, dir, kafka.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	defer func() {
		err = errors.Join(err, r.bed.RemoveKafkaBrokers(context.WithoutCancel(ctx), kafkaAcceptBroker, kafkaReachBroker))
	}()
	if err := r.bed.CreateKafkaBrokers(ctx, server.Address, kafkaAcceptBroker, kafkaReachBroker); err != nil {
		return err
	}
	if err := r.bed.CreateTriggers(ctx, testbed.Trigger{Name: kafkaReachBroker, Broker: kafkaReachBroker, Type: matching, Service: subscriber}); err != nil {
		return err
	}
	return errors.Join(r.kafkaAccept(ctx, server.Address), r.kafkaDelivery(ctx))
}

func (r *run) kafkaAccept(ctx context.Context, server string) error {
	path := testbed.BrokerPath(kafkaAcceptBroker)
	if err := r.accepting(ctx, path); err != nil {
		return err
	}
	return r.acceptInTurns(ctx, inKafka, durable, max(1, r.AcceptRounds/2), []subject{
		{ofKafka, func(ctx context.Context, clients int) (load.Result, error) {
			return r.saturate(ctx, testbed.BrokerHost, path, clients)
		}},
		r.defaultClass(),
		{rawKafka, func(ctx context.Context, clients int) (load.Result, error) {
			return peers.Kafka{
				Server: server, Topic: "raw", Clients: clients, Bytes: eventBytes, Warmup: warmup, Duration: r.Each,
			}.Process(ctx)
		}},
	})
}

func (r *run) kafkaDelivery(ctx context.Context) error {
	targets := []target{
		{ofKafka, 1, testbed.BrokerHost, testbed.BrokerPath(kafkaReachBroker)},
		{broker, 1, testbed.BrokerHost, testbed.BrokerPath(deliveryBroker(1))},
		{straight, 0, r.bed.URLHost(subscriber), "/"},
	}
	for _, t := range targets {
		if err := r.settle(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return r.deliverInTurns(ctx, inKafka, durable, max(1, r.DeliveryRounds/2), targets)
}
