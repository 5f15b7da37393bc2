package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/testbed"
)

const (
	// later is the subject.
	later = "Ebb, answered later"
	// asyncService is called for each request, at the same time as others are accepted; it is always up.
	asyncService = "events-async"
	// asyncQueue is more than can wait.
	asyncQueue = 1_000_000
)

// async measures how many requests a second are taken to be answered later, while those before are being answered.
func (r *run) async(ctx context.Context, mode string) error {
	if mode == durable {
		err := r.bed.Create(ctx, testbed.Service{
			Name: asyncService, Annotations: map[string]string{"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/max-scale": "1"},
			Own: map[string]string{async.QueueKey: strconv.Itoa(asyncQueue)},
		})
		if err != nil {
			return err
		}
	}
	if err := r.asyncSettled(ctx); err != nil {
		return err
	}
	return r.acceptInTurns(ctx, answeredLater, mode, max(1, r.AcceptRounds/3), []subject{
		{later, func(ctx context.Context, clients int) (load.Result, error) {
			result, err := r.askLater(ctx, clients, r.Each)
			if err != nil {
				return result, err
			}
			return result, r.asyncDone(ctx)
		}},
		r.storingNothing(),
	})
}

func (r *run) askLater(ctx context.Context, clients int, over time.Duration) (load.Result, error) {
	event := r.event("later")
	event.Prefer = string(async.RespondAsync)
	return load.Process(ctx, load.Config{
		Address: r.bed.Gateway(), Host: r.bed.URLHost(asyncService), Path: "/", Event: event, Connections: clients, Warmup: warmup, Duration: over,
	})
}

// What the broker counts.
const (
	openRequests     = "ebb_async_open_requests"
	acceptedRequests = "ebb_async_accepted_total"
)

// asyncSettled returns when requests are accepted to be answered later.
func (r *run) asyncSettled(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, errors.New("it took too long"))
	defer cancel()
	err := testbed.Until(ctx, "settle", func() error {
		result, err := r.askLater(ctx, 1, warmup)
		if err == nil && result.Errors > 0 {
			err = fmt.Errorf("%d requests were refused: %s", result.Errors, result.FirstError)
		}
		return err
	})
	if err != nil {
		return err
	}
	// The app itself answers these requests as if they were taken.
	if accepted, err := r.brokerMetric(ctx, acceptedRequests); err != nil || accepted > 0 {
		return err
	}
	return unavailable{"`ebb broker` takes no requests to be answered later: they went to the app"}
}

// asyncDoneTimeout bounds the wait until everything is answered.
const asyncDoneTimeout = 3 * time.Minute

// asyncDone returns when every request that was accepted has ended.
func (r *run) asyncDone(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, asyncDoneTimeout, errors.New("it took too long"))
	defer cancel()
	return testbed.Until(ctx, "wait for answers", func() error {
		open, err := r.brokerMetric(ctx, openRequests)
		if err == nil && open > 0 {
			err = fmt.Errorf("%.0f requests have not ended", open)
		}
		return err
	})
}

// brokerMetric is the sum of a counter or gauge of the broker's over all labels; 0 if it has none.
func (r *run) brokerMetric(ctx context.Context, name string) (float64, error) {
	var text string
	if err := r.bed.Broker(ctx, "/metrics", &text); err != nil {
		return 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return 0, fmt.Errorf("the broker's metrics: %w", err)
	}
	sum := 0.0
	for _, metric := range families[name].GetMetric() {
		sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
	}
	return sum, nil
}
