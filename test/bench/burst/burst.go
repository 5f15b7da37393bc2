package burst

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"ebb.dev/ebb/test/bench/stats"
	"ebb.dev/ebb/test/bench/testbed"
)

const (
	// requests come at once, and each has work to do.
	requests = 50
	work     = 100 * time.Millisecond
)

// Options of a run.
type Options struct {
	// Rounds is how often each burst is made.
	Rounds int
	Log    *slog.Logger
}

// Burst is one of Ebb's, and the ideal one of the same round. Times are in milliseconds.
type Burst struct {
	Concurrency int64 `json:"containerConcurrency"`
	// Took is until the last answer, Median until half were answered.
	Took   float64 `json:"took"`
	Median float64 `json:"median"`
	Errors int     `json:"errors"`
	// FirstError is the first one's text.
	FirstError string `json:"firstError,omitempty"`
	// Replicas is the most that the Deployment was asked for.
	Replicas int32 `json:"replicas"`
	// Ideal is until the last answer by the ideal schedule, of which FirstBare is the start of the first replica.
	Ideal     float64 `json:"ideal"`
	FirstBare float64 `json:"firstBare"`
}

// roundTimeout bounds a burst and its ideal.
const roundTimeout = 3 * time.Minute

// Measure makes all bursts.
func Measure(ctx context.Context, bed *testbed.Bed, o Options) ([]Burst, error) {
	concurrencies := []int64{10, 1}
	revisions := map[int64]string{}
	for _, c := range concurrencies {
		name := fmt.Sprintf("burst-%d", c)
		if err := bed.Create(ctx, testbed.Service{Name: name, Concurrency: c}); err != nil {
			return nil, err
		}
		revision, err := bed.Revision(ctx, name)
		if err != nil {
			return nil, err
		}
		revisions[c] = revision
		if err := bed.MakeBare(ctx, revisions[c], name); err != nil {
			return nil, err
		}
	}
	var out []Burst
	for round := range o.Rounds {
		for _, c := range concurrencies {
			b, err := one(ctx, bed, c, revisions[c])
			if err != nil {
				return out, fmt.Errorf("round %d at containerConcurrency %d: %w", round, c, err)
			}
			o.Log.Info("burst", "containerConcurrency", c, "round", round, "took_ms", b.Took, "ideal_ms", b.Ideal, "replicas", b.Replicas, "errors", b.Errors)
			out = append(out, b)
		}
	}
	return out, nil
}

func one(ctx context.Context, bed *testbed.Bed, concurrency int64, revision string) (Burst, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundTimeout, errors.New("it took too long"))
	defer cancel()
	b := Burst{Concurrency: concurrency}
	name := fmt.Sprintf("burst-%d", concurrency)
	if err := rest(ctx, bed); err != nil {
		return b, err
	}
	replicas, stop, err := follow(ctx, bed, revision)
	if err != nil {
		return b, err
	}
	b.ask(bed, name)
	stop()
	b.Replicas = replicas.Load()
	if b.Replicas == 0 {
		return b, nil
	}
	if err := rest(ctx, bed); err != nil {
		return b, err
	}
	bed.Starts.Forget()
	begin := time.Now()
	if err := bed.Scale(ctx, testbed.Bare, name, int(b.Replicas)); err != nil {
		return b, err
	}
	starts, err := bed.Starts.Listening(ctx, int(b.Replicas))
	if err != nil {
		return b, err
	}
	var listening []time.Duration
	for _, s := range starts {
		listening = append(listening, s.Sub(begin))
	}
	b.FirstBare, b.Ideal = milliseconds(listening[0]), milliseconds(Ideal(listening, int(concurrency)))
	return b, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// settle is between the end of the last pods and a burst. Who follows a burst with another one measures how the first is cleared away.
const settle = 2 * time.Second

// rest sends everything to zero, keeps it from there on, and waits until what that took is done.
func rest(ctx context.Context, bed *testbed.Bed) error {
	if err := bed.Sleep(ctx); err != nil {
		return err
	}
	if err := bed.Stay(ctx); err != nil {
		return err
	}
	return testbed.Pause(ctx, settle)
}

// ask sends all requests at once.
func (b *Burst) ask(bed *testbed.Bed, service string) {
	took := make(stats.Samples, requests)
	errs := make([]error, requests)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range requests {
		group.Go(func() {
			<-start
			begin := time.Now()
			_, errs[i] = testbed.Ask(bed.Gateway(), bed.URLHost(service), fmt.Sprintf("/sleep?ms=%d", work.Milliseconds()))
			took[i] = milliseconds(time.Since(begin))
		})
	}
	begin := time.Now()
	close(start)
	group.Wait()
	b.Took, b.Median = milliseconds(time.Since(begin)), took.Median()
	for _, err := range errs {
		if err != nil {
			b.Errors++
			if b.FirstError == "" {
				b.FirstError = err.Error()
			}
		}
	}
}

// follow keeps the most replicas that a revision's Deployment asks for, until stop.
func follow(ctx context.Context, bed *testbed.Bed, revision string) (most *atomic.Int32, stop func(), err error) {
	watch, err := bed.Kube.AppsV1().Deployments(testbed.Services).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", revision+"-deployment").String(),
	})
	if err != nil {
		return nil, nil, err
	}
	most = &atomic.Int32{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for event := range watch.ResultChan() {
			if d, ok := event.Object.(*appsv1.Deployment); ok && d.Spec.Replicas != nil {
				most.Store(max(most.Load(), *d.Spec.Replicas))
			}
		}
	}()
	return most, func() { watch.Stop(); <-ended }, nil
}

// Ideal is when the last request is answered if each goes to the slot that is free first. listening are when the replicas
// took their first request.
func Ideal(listening []time.Duration, concurrency int) time.Duration {
	var free []time.Duration
	for _, at := range listening {
		for range concurrency {
			free = append(free, at)
		}
	}
	var last time.Duration
	for range requests {
		slices.Sort(free)
		free[0] += work
		last = max(last, free[0])
	}
	return last
}
