package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/testbed"
)

// Wake is one wake by an event, and the bare start of the same pod beside it. Times are in milliseconds.
type Wake struct {
	First bool `json:"first"`
	// Accepted is from the sending of the event to its 202.
	Accepted float64 `json:"accepted"`
	// Listening is from when the log took the event until the app listened, Received until it had the event.
	Listening float64 `json:"listening"`
	Received  float64 `json:"received"`
	// Bare is from the scale patch until the app listened.
	Bare float64 `json:"bare"`
}

// wakeBroker is the Broker whose Triggers' subscribers are at zero.
const wakeBroker = "wake"

// wakeTimeout bounds one start.
const wakeTimeout = time.Minute

// quietTime is how long nothing is asked of the machine before a start.
const quietTime = 400 * time.Millisecond

func (r *run) wake(ctx context.Context) error {
	var services []testbed.Service
	var triggers []testbed.Trigger
	for i := range r.Batch {
		name := fmt.Sprintf("events-cold-%d", i)
		services = append(services, testbed.Service{Name: name})
		triggers = append(triggers, testbed.Trigger{Name: name, Broker: wakeBroker, Type: name, Service: name})
	}
	if err := r.bed.Create(ctx, services...); err != nil {
		return err
	}
	if err := r.bed.CreateBrokers(ctx, wakeBroker); err != nil {
		return err
	}
	if err := r.bed.CreateTriggers(ctx, triggers...); err != nil {
		return err
	}
	for _, s := range services {
		revision, err := r.bed.Revision(ctx, s.Name)
		if err != nil {
			return err
		}
		if err := r.bed.MakeBare(ctx, revision, s.Name); err != nil {
			return err
		}
	}
	for round := range r.WakeRounds {
		if err := r.wakeRound(ctx, services, round); err != nil {
			return err
		}
	}
	// What is still up is not to slow down the other parts.
	return r.bed.Sleep(ctx)
}

func (r *run) wakeRound(ctx context.Context, services []testbed.Service, round int) error {
	if err := r.bed.Sleep(ctx); err != nil {
		return err
	}
	if err := r.bed.Stay(ctx); err != nil {
		return err
	}
	for i, s := range services {
		w := Wake{First: round == 0}
		steps := []func(context.Context, string, *Wake) error{r.wakeByEvent, r.startBare}
		if (i+round)%2 == 1 {
			steps[0], steps[1] = steps[1], steps[0]
		}
		for _, step := range steps {
			if err := testbed.Pause(ctx, quietTime); err != nil {
				return err
			}
			if err := r.bounded(ctx, s.Name, &w, step); err != nil {
				return fmt.Errorf("wake %s: %w", s.Name, err)
			}
		}
		r.Log.Info("woken", "service", s.Name, "round", round, "received_ms", w.Received, "bare_ms", w.Bare)
		r.Wakes = append(r.Wakes, w)
	}
	return nil
}

func (r *run) bounded(ctx context.Context, service string, w *Wake, step func(context.Context, string, *Wake) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, wakeTimeout, errors.New("it took too long"))
	defer cancel()
	return step(ctx, service, w)
}

func (r *run) wakeByEvent(ctx context.Context, service string, w *Wake) error {
	r.bed.Starts.Forget()
	event := r.event(service)
	began := time.Now()
	id, err := r.send(ctx, *event)
	if err != nil {
		return err
	}
	w.Accepted = milliseconds(time.Since(began))
	receipts, err := r.bed.Receipts.Of(ctx, event.Run, 1)
	if err != nil {
		return err
	}
	listening, err := r.bed.Starts.Listening(ctx, 1)
	if err != nil {
		return err
	}
	stored, err := r.stored(ctx, id)
	if err != nil {
		return err
	}
	w.Listening, w.Received = milliseconds(listening[0].Sub(stored)), milliseconds(receipts[0].At.Sub(stored))
	return nil
}

func (r *run) startBare(ctx context.Context, service string, w *Wake) error {
	r.bed.Starts.Forget()
	began := time.Now()
	if err := r.bed.Scale(ctx, testbed.Bare, service, 1); err != nil {
		return err
	}
	listening, err := r.bed.Starts.Listening(ctx, 1)
	if err != nil {
		return err
	}
	w.Bare = milliseconds(listening[0].Sub(began))
	return nil
}

// send sends one event and returns its id once it is accepted.
func (r *run) send(ctx context.Context, e load.Event) (id string, err error) {
	data := bytes.Repeat([]byte("x"), e.Bytes)
	url := "http://" + r.bed.Gateway() + testbed.BrokerPath(wakeBroker)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	id = string(e.AppendID(nil, 1, time.Now()))
	request.Host = testbed.BrokerHost
	for name, value := range map[string]string{
		"Content-Type": "text/plain", "Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Type": e.Type, "Ce-Source": e.Source,
	} {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 512))
	if err == nil && answer.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("Broker %s answered %s: %s", wakeBroker, answer.Status, strings.TrimSpace(string(text)))
	}
	return id, err
}

// stored is when the log took an event, as the broker itself says.
func (r *run) stored(ctx context.Context, id string) (time.Time, error) {
	var last []struct {
		ID     string    `json:"id"`
		Stored time.Time `json:"stored"`
	}
	if err := r.bed.Broker(ctx, "/events/brokers"+testbed.BrokerPath(wakeBroker)+"/events?last=5", &last); err != nil {
		return time.Time{}, err
	}
	for _, e := range last {
		if e.ID == id {
			return e.Stored, nil
		}
	}
	return time.Time{}, fmt.Errorf("event %s was received and is not in the log", id)
}
