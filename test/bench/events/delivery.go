package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/stats"
	"ebb.dev/ebb/test/bench/testbed"
)

// Delivery is one subject in one round.
type Delivery struct {
	// Part is what is compared: inJetStream or inKafka.
	Part string `json:"part"`
	// Mode is durable or relaxed.
	Mode    string `json:"mode"`
	Subject string `json:"subject"`
	// Triggers is how many the Broker has, of which one matches; 0 where there is no Broker.
	Triggers int `json:"triggers"`
	Round    int `json:"round"`
	// Took are from each sending to the subscriber's receipt, in milliseconds.
	Took   stats.Samples `json:"took"`
	Errors uint64        `json:"errors"`
}

// straight is the subject without a broker: the same requests to the same service.
const straight = "straight to the subscriber"

const (
	// subscriber is the service that gets the events; it is always up.
	subscriber = "events-warm"
	// matching is the type of the events of which one Trigger of each Broker wants to know.
	matching = "wanted"
	// rate is how many events a second are sent, over a few connections: nothing is to wait for anything else.
	rate        = 100
	connections = 4
	// syncs are made in each round.
	syncs = 50
)

// triggerCounts are those of the Brokers that deliver.
var triggerCounts = []int{1, 10, 1000}

func deliveryBroker(triggers int) string { return fmt.Sprintf("reach-%d", triggers) }

// target is where the events of a delivery go at first.
type target struct {
	name       string
	triggers   int
	host, path string
}

func (r *run) targets() []target {
	out := []target{{straight, 0, r.bed.URLHost(subscriber), "/"}}
	for _, n := range triggerCounts {
		out = append(out, target{broker, n, testbed.BrokerHost, testbed.BrokerPath(deliveryBroker(n))})
	}
	return out
}

// receiptTimeout bounds the wait for the last event after the last was accepted.
const receiptTimeout = time.Minute

// delivery sends events at a rate that every subject bears with ease, in turns.
func (r *run) delivery(ctx context.Context, mode string) error {
	targets := r.targets()
	for _, t := range targets {
		if err := r.settle(ctx, t); err != nil {
			return fmt.Errorf("%s, %d Triggers: %w", t.name, t.triggers, err)
		}
	}
	return r.deliverInTurns(ctx, inJetStream, mode, r.DeliveryRounds, targets)
}

func (r *run) deliverInTurns(ctx context.Context, part, mode string, rounds int, targets []target) error {
	for round := range rounds {
		for i := range targets {
			t := targets[(i+round)%len(targets)]
			d, err := r.deliver(ctx, t, r.Each)
			if err != nil {
				return fmt.Errorf("%s, %d Triggers: %w", t.name, t.triggers, err)
			}
			d.Part, d.Mode, d.Round = part, mode, round
			r.Log.Info("delivered", "mode", mode, "subject", t.name, "triggers", t.triggers, "round", round,
				"p50_ms", d.Took.Median(), "p99_ms", d.Took.Quantile(0.99), "events", len(d.Took), "errors", d.Errors)
			r.Deliveries = append(r.Deliveries, d)
		}
		if part == inJetStream && mode == durable {
			if err := r.sync(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliver sends for a time and waits until everything that was accepted is received.
func (r *run) deliver(ctx context.Context, t target, over time.Duration) (Delivery, error) {
	d := Delivery{Subject: t.name, Triggers: t.triggers}
	event := r.event(matching)
	result, err := load.Process(ctx, load.Config{
		Address: r.bed.Gateway(), Host: t.host, Path: t.path, Event: event, Connections: connections, Rate: rate, Duration: over,
	})
	if err != nil {
		return d, err
	}
	d.Errors = result.Errors
	if result.All == 0 {
		return d, fmt.Errorf("nothing was accepted: %s", result.FirstError)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, receiptTimeout, errors.New("it took too long"))
	defer cancel()
	receipts, err := r.bed.Receipts.Of(ctx, event.Run, int(result.All))
	for _, receipt := range receipts {
		d.Took = append(d.Took, milliseconds(receipt.At.Sub(receipt.Sent)))
	}
	return d, err
}

// settleTimeout bounds the way of a platform that has just begun to where it delivers.
const settleTimeout = time.Minute

// settle sends until everything arrives, so that every part of the way is warm.
func (r *run) settle(ctx context.Context, t target) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, errors.New("it took too long"))
	defer cancel()
	return testbed.Until(ctx, "settle", func() error {
		d, err := r.deliver(ctx, t, time.Second)
		if err == nil && d.Errors > 0 {
			err = fmt.Errorf("%d events were refused", d.Errors)
		}
		return err
	})
}

// sync measures single synced writes to the disk that the events go to, as far apart as those are: a disk that has just synced is faster.
func (r *run) sync(ctx context.Context) error {
	f, err := os.CreateTemp(r.Dir, "sync")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		os.Remove(f.Name())
	}()
	data := bytes.Repeat([]byte("x"), eventBytes)
	for range syncs {
		if err := testbed.Pause(ctx, time.Second/rate); err != nil {
			return err
		}
		began := time.Now()
		if _, err := f.Write(data); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		r.Syncs = append(r.Syncs, milliseconds(time.Since(began)))
	}
	return nil
}
