package events

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/peers"
	"ebb.dev/ebb/test/bench/testbed"
)

// Accept is one subject in one round.
type Accept struct {
	// Part is what is compared: inJetStream, inKafka or answeredLater.
	Part string `json:"part"`
	// Mode is durable or relaxed.
	Mode    string `json:"mode"`
	Subject string `json:"subject"`
	Clients int    `json:"clients"`
	Round   int    `json:"round"`
	// PerSecond is how many were accepted; P50 and P99 are how long one took, in milliseconds.
	PerSecond  float64 `json:"perSecond"`
	P50        float64 `json:"p50"`
	P99        float64 `json:"p99"`
	Errors     uint64  `json:"errors"`
	FirstError string  `json:"firstError,omitempty"`
}

// The subjects.
const (
	broker  = "Ebb"
	raw     = "raw JetStream"
	nothing = "a handler that stores nothing"
)

// clientCounts are how many send at the same time.
var clientCounts = []int{1, 32}

// warmup is what is not counted of each turn.
const warmup = 300 * time.Millisecond

// acceptBroker is the name of a Broker without Triggers.
const acceptBroker = "accept"

// subject is something that accepts events.
type subject struct {
	name   string
	accept func(ctx context.Context, clients int) (load.Result, error)
}

// The parts.
const (
	inJetStream   = "events"
	inKafka       = "class Kafka"
	answeredLater = "answered later"
)

// accept has all subjects accept as much as they can, in turns.
func (r *run) accept(ctx context.Context, mode string) error {
	if err := r.accepting(ctx, testbed.BrokerPath(acceptBroker)); err != nil {
		return err
	}
	return r.acceptInTurns(ctx, inJetStream, mode, r.AcceptRounds, []subject{
		r.defaultClass(),
		r.storingNothing(),
		{raw, func(ctx context.Context, clients int) (load.Result, error) {
			return peers.JetStream{
				Dir: filepath.Join(r.Dir, "jetstream"), Relaxed: mode == relaxed, Clients: clients, Bytes: eventBytes, Warmup: warmup, Duration: r.Each,
			}.Process(ctx)
		}},
	})
}

// defaultClass is a Broker of the default class.
func (r *run) defaultClass() subject {
	return subject{broker, func(ctx context.Context, clients int) (load.Result, error) {
		return r.saturate(ctx, testbed.BrokerHost, testbed.BrokerPath(acceptBroker), clients)
	}}
}

func (r *run) storingNothing() subject {
	return subject{nothing, func(ctx context.Context, clients int) (load.Result, error) {
		return r.saturate(ctx, r.nothing, "/", clients)
	}}
}

// accepting sends a little until all of it is accepted: a platform that has just begun may not know its Brokers yet.
func (r *run) accepting(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, errors.New("it took too long"))
	defer cancel()
	return testbed.Until(ctx, "settle", func() error {
		result, err := load.Process(ctx, load.Config{
			Address: r.bed.Gateway(), Host: testbed.BrokerHost, Path: path, Event: r.event("accept"), Connections: 1, Duration: warmup,
		})
		if err == nil && result.Errors > 0 {
			err = fmt.Errorf("%d events were refused: %s", result.Errors, result.FirstError)
		}
		return err
	})
}

func (r *run) acceptInTurns(ctx context.Context, part, mode string, rounds int, subjects []subject) error {
	for round := range rounds {
		for _, clients := range clientCounts {
			for i := range subjects {
				s := subjects[(i+round)%len(subjects)]
				result, err := s.accept(ctx, clients)
				if err != nil {
					return fmt.Errorf("%s with %d clients: %w", s.name, clients, err)
				}
				a := Accept{
					Part: part, Mode: mode, Subject: s.name, Clients: clients, Round: round, PerSecond: result.PerSecond(),
					P50: milliseconds(result.Latency.Quantile(0.5)), P99: milliseconds(result.Latency.Quantile(0.99)),
					Errors: result.Errors, FirstError: result.FirstError,
				}
				r.Log.Info("accepted", "mode", mode, "subject", s.name, "clients", clients, "round", round,
					"per_second", int(a.PerSecond), "p50_ms", a.P50, "p99_ms", a.P99, "errors", a.Errors)
				r.Accepts = append(r.Accepts, a)
			}
		}
	}
	return nil
}

// saturate sends as fast as is accepted, through the gateway.
func (r *run) saturate(ctx context.Context, host, path string, clients int) (load.Result, error) {
	return load.Process(ctx, load.Config{
		Address: r.bed.Gateway(), Host: host, Path: path, Event: r.event("accept"), Connections: clients, Warmup: warmup, Duration: r.Each,
	})
}
