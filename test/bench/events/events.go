package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/stats"
	"ebb.dev/ebb/test/bench/testbed"
)

// Options of a run.
type Options struct {
	// Dir is a folder for the peers' stores, on the disk that the platform's state is on. It is made, and removed.
	Dir string
	// AcceptRounds, DeliveryRounds and AloneRounds are how often each subject has its turn.
	AcceptRounds, DeliveryRounds, AloneRounds int
	// Each is how long one turn takes.
	Each time.Duration
	// Batch services are woken one after the other, WakeRounds times.
	Batch, WakeRounds int
	Log               *slog.Logger
}

// The ways in which a platform takes events.
const (
	durable = "durable"
	relaxed = "relaxed"
)

// Result of a run. Times are in milliseconds.
type Result struct {
	Accepts    []Accept   `json:"accepts"`
	Deliveries []Delivery `json:"deliveries"`
	// Syncs are single synced writes of an event's size to the same disk, made between the durable turns.
	Syncs stats.Samples `json:"syncs"`
	Wakes []Wake        `json:"wakes"`
	Alone Alone         `json:"alone"`
	// Process is what each idle Trigger adds to the broker's process, its part of the API's cache included, in bytes of proportional set
	// size.
	Process float64 `json:"processBytesPerTrigger"`
	// Missing says of the parts that were not measured why.
	Missing []Missing `json:"missing,omitempty"`
}

// Missing is a part that was not measured.
type Missing struct {
	Part string `json:"part"`
	Why  string `json:"why"`
}

// unavailable is why a part cannot be measured here, which is no failure.
type unavailable struct{ why string }

func (u unavailable) Error() string { return u.why }

type run struct {
	Options
	bed *testbed.Bed
	Result
	// turns counts, so that no two loads have events of the same id.
	turns int
	// nothing is the Host header of the handler that stores nothing.
	nothing string
}

// Measure measures everything, part by part: one that fails leaves the others.
func Measure(ctx context.Context, bed *testbed.Bed, o Options) (Result, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(o.Dir)
	r := &run{Options: o, bed: bed}
	if _, err := r.brokerPID(); err != nil {
		return Result{}, err
	}
	var errs []error
	part := func(name string, f func(context.Context) error) {
		if ctx.Err() != nil {
			return
		}
		o.Log.Info("part starts", "part", name)
		err := f(ctx)
		if err == nil {
			return
		}
		r.Missing = append(r.Missing, Missing{Part: name, Why: err.Error()})
		o.Log.Warn("part not measured", "part", name, "why", err)
		if _, expected := errors.AsType[unavailable](err); !expected {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	part("filters and Triggers alone", r.alone)
	// Waking needs a platform that can be at zero: what is warm is made afterwards.
	part("wake", r.wake)
	handler, err := r.prepare(ctx)
	if handler != nil {
		defer handler.Stop()
	}
	if err != nil {
		return r.Result, errors.Join(append(errs, fmt.Errorf("prepare: %w", err))...)
	}
	if err := r.calm(ctx); err != nil {
		return r.Result, errors.Join(append(errs, err)...)
	}
	part("accept, durable", func(ctx context.Context) error { return r.accept(ctx, durable) })
	part("delivery, durable", func(ctx context.Context) error { return r.delivery(ctx, durable) })
	part("answered later, durable", func(ctx context.Context) error { return r.async(ctx, durable) })
	part("class Kafka", r.kafka)
	if err := errors.Join(bed.Restart(ctx, relaxed), r.calm(ctx)); err != nil {
		return r.Result, errors.Join(append(errs, fmt.Errorf("restart as a relaxed platform: %w", err))...)
	}
	part("accept, relaxed", func(ctx context.Context) error { return r.accept(ctx, relaxed) })
	part("delivery, relaxed", func(ctx context.Context) error { return r.delivery(ctx, relaxed) })
	part("answered later, relaxed", func(ctx context.Context) error { return r.async(ctx, relaxed) })
	return r.Result, errors.Join(errs...)
}

// eventBytes is the data of an event.
const eventBytes = 512

// event is what the events of a new load have in common.
func (r *run) event(kind string) *load.Event {
	r.turns++
	return &load.Event{Type: kind, Source: "/bench", Run: fmt.Sprintf("run-%d-%d", os.Getpid(), r.turns), Bytes: eventBytes}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
