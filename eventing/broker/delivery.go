package broker

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/eventing/model"
)

// Annotations of a Trigger that say more than its spec can.
const (
	// OrderKey is ordered or unordered; eventing.KafkaDeliveryOrderAnnotationKey says the same where it is not given.
	OrderKey = "eventing.ebb.dev/delivery.order"
	// ConcurrencyKey bounds deliveries under way, RateKey those begun in a second.
	ConcurrencyKey = "eventing.ebb.dev/concurrency"
	RateKey        = "eventing.ebb.dev/rate"
	// PausedKey stops deliveries and keeps the position.
	PausedKey = eventing.PausedAnnotationKey
	// StartKey is where a new Trigger begins: now, earliest, a time or a position.
	StartKey = "eventing.ebb.dev/start"
)

// defaultTimeout bounds one attempt where nobody says: as long as a Service may take to answer by default.
const defaultTimeout = 5 * time.Minute

// DeliveryOf is what applies of several specs: of each field the first that is given. Dead letters are resolved elsewhere.
func DeliveryOf(specs ...*duck.DeliverySpec) (model.Delivery, error) {
	var all duck.DeliverySpec
	for _, s := range specs {
		if s == nil {
			continue
		}
		all.Retry = cmp.Or(all.Retry, s.Retry)
		all.Timeout = cmp.Or(all.Timeout, s.Timeout)
		all.BackoffPolicy = cmp.Or(all.BackoffPolicy, s.BackoffPolicy)
		all.BackoffDelay = cmp.Or(all.BackoffDelay, s.BackoffDelay)
		all.BackoffMax = cmp.Or(all.BackoffMax, s.BackoffMax)
		all.RetryAfterMax = cmp.Or(all.RetryAfterMax, s.RetryAfterMax)
		all.Format = cmp.Or(all.Format, s.Format)
	}
	out := model.Delivery{Backoff: model.Exponential, Timeout: defaultTimeout}
	if all.Retry != nil {
		out.Retry = int(*all.Retry)
	}
	if all.BackoffPolicy != nil {
		out.Backoff = model.Backoff(*all.BackoffPolicy)
	}
	out.Structured = all.Format != nil && *all.Format == duck.DeliveryFormatJSON
	for _, field := range []struct {
		name string
		from *string
		to   *time.Duration
	}{
		{"timeout", all.Timeout, &out.Timeout},
		{"backoffDelay", all.BackoffDelay, &out.Delay},
		{"backoffMax", all.BackoffMax, &out.Max},
	} {
		if err := period(field.name, field.from, field.to); err != nil {
			return out, err
		}
	}
	if all.RetryAfterMax != nil {
		out.RetryAfterMax = new(time.Duration)
		if err := period("retryAfterMax", all.RetryAfterMax, out.RetryAfterMax); err != nil {
			return out, err
		}
	}
	return out, nil
}

func period(field string, from *string, to *time.Duration) error {
	if from == nil {
		return nil
	}
	d, err := duck.ParseDuration(*from)
	if err != nil {
		return fmt.Errorf("delivery.%s: %w", field, err)
	}
	*to = d
	return nil
}

// Pace fills in what the annotations of a Trigger or a Subscription say.
func Pace(r *model.Reader, annotations map[string]string) error {
	switch order := cmp.Or(annotations[OrderKey], annotations[eventing.KafkaDeliveryOrderAnnotationKey]); order {
	case "", "unordered":
	case "ordered":
		r.Ordered = true
	default:
		return fmt.Errorf("annotation %s: %q is neither ordered nor unordered", OrderKey, order)
	}
	if text, given := annotations[ConcurrencyKey]; given {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("annotation %s: %q is no number of at least 1", ConcurrencyKey, text)
		}
		r.Concurrency = n
	}
	if text, given := annotations[RateKey]; given {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n <= 0 {
			return fmt.Errorf("annotation %s: %q is no rate above 0; write deliveries a second", RateKey, text)
		}
		r.Rate = n
	}
	switch paused := annotations[PausedKey]; paused {
	case "", "false":
	case "true":
		r.Paused = true
	default:
		return fmt.Errorf("annotation %s: %q is neither true nor false", PausedKey, paused)
	}
	var err error
	r.Start, err = StartOf(annotations[StartKey])
	return err
}

// ReasonPaused is that of a condition that is True of what delivers nothing for now.
const ReasonPaused = "Paused"

// StatePaused says of a reader that keeps its place, in the condition about its reading and in the one that sums up, where that is True.
func StatePaused(marks conditions.Manager, about conditions.Type) {
	const message = "annotation " + PausedKey + `: nothing is delivered and what comes in waits; take the annotation away to go on`
	for _, t := range []conditions.Type{about, conditions.Ready} {
		if marks.Get(t).IsTrue() {
			marks.Explain(t, ReasonPaused, message)
		}
	}
}

// StartOf reads where to begin: "" and now, earliest, a time as in RFC 3339, or a position.
func StartOf(text string) (model.Start, error) {
	switch text {
	case "", "now":
		return model.Start{}, nil
	case "earliest":
		return model.Start{Earliest: true}, nil
	}
	if position, err := strconv.ParseUint(text, 10, 64); err == nil {
		return model.Start{Position: position}, nil
	}
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return model.Start{}, fmt.Errorf("annotation %s: %q is neither now, earliest, a position nor a time such as 2026-01-02T15:04:05Z", StartKey, text)
	}
	return model.Start{Since: since}, nil
}
