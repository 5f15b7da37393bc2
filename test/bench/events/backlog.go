package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"ebb.dev/ebb/test/bench/peers"
	"ebb.dev/ebb/test/bench/testbed"
	"ebb.dev/ebb/test/kafka"
)

// BacklogOptions of a run.
type BacklogOptions struct {
	// Dir is a folder for Kafka's data. It is made, and removed.
	Dir string
	// Records are what the backlog has; each subject drains all of it in each of the Rounds.
	Records, Rounds int
	Log             *slog.Logger
}

// Drain is one subject in one round. Times are in seconds.
type Drain struct {
	Way     string `json:"way"`
	Subject string `json:"subject"`
	Round   int    `json:"round"`
	Records int    `json:"records"`
	// Received is how many the subscriber got, those that came twice included.
	Received int64 `json:"received"`
	// Took is from when somebody is told to drain until the subscriber, which was at zero, had the last one.
	Took float64 `json:"took"`
	// Committed is from then until the consumer group has no lag.
	Committed float64 `json:"committed"`
}

// Backlogs is what was found.
type Backlogs struct {
	Drains []Drain `json:"drains"`
	// Missing says why nothing was measured; empty otherwise.
	Missing string `json:"missing,omitempty"`
}

// plain is the subject that Ebb is held against.
const plain = "a plain consumer"

// The names of what is drained, and of who gets it.
const (
	backlogSubscriber = "backlog"
	backlogBroker     = "backlog"
	backlogTopic      = "backlog"
	backlogDrainer    = "backlog"
	// backlogTimeout bounds one turn.
	backlogTimeout = 10 * time.Minute
)

// way is one way of draining.
type way struct {
	name, topic string
	// atOnce is how many of a partition's the plain consumer posts at the same time: as many as Ebb does.
	atOnce int
	// begin tells Ebb to drain for a consumer group whose name is returned; end undoes it.
	begin func(ctx context.Context, turn int) (group string, err error)
	end   func(context.Context) error
}

type drainer struct {
	BacklogOptions
	bed     *testbed.Bed
	server  string
	gateway string
	Backlogs
	turns int
}

// MeasureBacklog has backlogs in Kafka drained, by Ebb and by a consumer that does nothing else, in turns.
func MeasureBacklog(ctx context.Context, bed *testbed.Bed, o BacklogOptions) (_ Backlogs, err error) {
	d := &drainer{BacklogOptions: o, bed: bed}
	jars, err := kafka.Fetch(ctx)
	if missing, ok := errors.AsType[*kafka.Missing](err); ok {
		d.Missing = missing.Error()
		return d.Backlogs, nil
	}
	if err != nil {
		return d.Backlogs, err
	}
	if d.gateway, err = brokerFlag(bed, "--gateway"); err != nil {
		return d.Backlogs, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return d.Backlogs, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	dir := filepath.Join(o.Dir, "kafka")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return d.Backlogs, err
	}
	server, err := kafka.New(ctx, jars, dir, kafka.Options{})
	if err != nil {
		return d.Backlogs, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	d.server = server.Address
	defer func() { err = errors.Join(err, bed.RemoveKafkaBrokers(context.WithoutCancel(ctx), backlogBroker)) }()
	if err := d.prepare(ctx); err != nil {
		return d.Backlogs, err
	}
	for round := range o.Rounds {
		for _, w := range d.ways() {
			if err := d.round(ctx, w, round); err != nil {
				return d.Backlogs, fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return d.Backlogs, nil
}

// prepare makes the subscriber, the Broker and the backlogs.
func (d *drainer) prepare(ctx context.Context) error {
	err := d.bed.Create(ctx, testbed.Service{Name: backlogSubscriber, Quiet: true, Annotations: map[string]string{
		"autoscaling.knative.dev/initial-scale": "0", "autoscaling.knative.dev/max-scale": "1",
	}})
	if err != nil {
		return err
	}
	if err := d.bed.CreateKafkaBrokers(ctx, d.server, backlogBroker); err != nil {
		return err
	}
	began := time.Now()
	for _, b := range []peers.Backlog{
		{Server: d.server, Topic: backlogTopic, Records: d.Records, Bytes: eventBytes},
		{Server: d.server, Topic: brokerTopic(backlogBroker), Records: d.Records, Bytes: eventBytes, Type: matching},
	} {
		if err := b.Write(ctx); err != nil {
			return err
		}
	}
	d.Log.Info("backlogs are written", "records", d.Records, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// brokerTopic is the topic of a Broker of class Kafka.
func brokerTopic(broker string) string { return "knative-broker-" + testbed.Services + "-" + broker }

func (d *drainer) ways() []way {
	source := func(ordered bool) func(context.Context, int) (string, error) {
		return func(ctx context.Context, turn int) (string, error) {
			group := fmt.Sprintf("source-%d", turn)
			return group, d.bed.CreateKafkaSource(ctx, testbed.KafkaSource{
				Name: backlogDrainer, Server: d.server, Topic: backlogTopic, Group: group, Ordered: ordered, Service: backlogSubscriber,
			})
		}
	}
	noSource := func(ctx context.Context) error { return d.bed.RemoveKafkaSource(ctx, backlogDrainer) }
	trigger := testbed.Trigger{Name: backlogDrainer, Broker: backlogBroker, Type: matching, Service: backlogSubscriber, Earliest: true}
	return []way{
		{"KafkaSource, ordered", backlogTopic, 1, source(true), noSource},
		{"KafkaSource, unordered", backlogTopic, 32, source(false), noSource},
		{
			"Trigger of a Broker of class Kafka", brokerTopic(backlogBroker), 10,
			func(ctx context.Context, _ int) (string, error) {
				return "knative-trigger-" + testbed.Services + "-" + trigger.Name, d.bed.StartTrigger(ctx, trigger)
			},
			func(ctx context.Context) error { return d.bed.RemoveTrigger(ctx, trigger.Name) },
		},
	}
}

// round has both drain one way.
func (d *drainer) round(ctx context.Context, w way, round int) error {
	subjects := []struct {
		name  string
		drain func(context.Context, way, *Drain) error
	}{{broker, d.byEbb}, {plain, d.byPlainConsumer}}
	if round%2 == 1 {
		subjects[0], subjects[1] = subjects[1], subjects[0]
	}
	for _, s := range subjects {
		if err := d.bed.Sleep(ctx); err != nil {
			return err
		}
		d.turns++
		one := Drain{Way: w.name, Subject: s.name, Round: round, Records: d.Records}
		if err := d.bounded(ctx, w, &one, s.drain); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		d.Log.Info("drained", "way", w.name, "subject", s.name, "round", round, "records", one.Received, "seconds", one.Took, "committed_after", one.Committed)
		d.Drains = append(d.Drains, one)
	}
	return nil
}

func (d *drainer) bounded(ctx context.Context, w way, into *Drain, drain func(context.Context, way, *Drain) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, backlogTimeout, errors.New("it took too long"))
	defer cancel()
	return drain(ctx, w, into)
}

func (d *drainer) byEbb(ctx context.Context, w way, into *Drain) (err error) {
	defer func() { err = errors.Join(err, w.end(context.WithoutCancel(ctx))) }()
	began := time.Now()
	group, err := w.begin(ctx, d.turns)
	if err != nil {
		return err
	}
	return d.await(ctx, began, w.topic, group, into)
}

func (d *drainer) byPlainConsumer(ctx context.Context, w way, into *Drain) error {
	group := fmt.Sprintf("plain-%d", d.turns)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var result peers.Drained
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		var err error
		result, err = peers.Drain{
			Server: d.server, Topic: w.topic, Group: group, Records: d.Records, Address: d.gateway,
			Host: backlogSubscriber + "." + testbed.Services + ".svc.cluster.local", AtOnce: w.atOnce,
		}.Process(ctx)
		if err == nil && result.Refused > 0 {
			err = fmt.Errorf("%d records were refused: %s", result.Refused, result.FirstError)
		}
		if err != nil {
			cancel()
		}
		ended <- err
	}()
	err := d.await(ctx, began, w.topic, group, into)
	if err != nil {
		cancel()
	}
	return errors.Join(<-ended, err)
}

// looks is how often the subscriber is asked how much it has.
const looks = 200 * time.Millisecond

// await returns when the subscriber has everything and the group has no lag.
func (d *drainer) await(ctx context.Context, began time.Time, topic, group string, into *Drain) error {
	for {
		if err := testbed.Pause(ctx, looks); err != nil {
			return fmt.Errorf("%d of %d records were received: %w", into.Received, d.Records, err)
		}
		var now struct{ Count, Last int64 }
		// It wakes on being asked, as it does on the first record.
		if err := d.bed.AskJSON(backlogSubscriber, "/received", &now); err != nil {
			return err
		}
		if into.Received = now.Count; now.Count >= int64(d.Records) {
			last := time.Unix(0, now.Last)
			into.Took = last.Sub(began).Seconds()
			if err := d.committed(ctx, topic, group); err != nil {
				return err
			}
			into.Committed = time.Since(last).Seconds()
			return nil
		}
	}
}

func (d *drainer) committed(ctx context.Context, topic, group string) error {
	return testbed.Until(ctx, "wait for the lag of consumer group "+group, func() error {
		lag, err := peers.Lag(ctx, d.server, group, topic)
		if err == nil && lag > 0 {
			err = fmt.Errorf("%d records are not committed", lag)
		}
		return err
	})
}
