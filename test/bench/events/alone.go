package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/filter"
	"ebb.dev/ebb/eventing/log/jetstream"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/stats"
)

// AloneCommand is the hidden subcommand under which the program that imports this package serves ServeAlone.
const AloneCommand = "events-alone"

// AloneOptions say what is measured in a process of its own.
type AloneOptions struct {
	// Triggers is how many there are.
	Triggers int `json:"triggers"`
	// Rounds is how often each kind of filter has its turn, Each how long one takes.
	Rounds int           `json:"rounds"`
	Each   time.Duration `json:"each"`
	// Dir is a folder for a log.
	Dir string `json:"dir"`
}

// Alone is what was measured.
type Alone struct {
	Triggers int     `json:"triggers"`
	Checks   []Check `json:"checks"`
	// Bytes is what one idle Trigger takes: filter, reader and its place in the log, goroutines included.
	Bytes float64 `json:"bytesPerTrigger"`
	// Goroutines are all there are with the Triggers.
	Goroutines int `json:"goroutines"`
}

// Check is one kind of filter; each has one that passes.
type Check struct {
	Filter string `json:"filter"`
	// PerSecond is how many filters were decided on in a second of one core, by round: each event counts for all Triggers. OneByOne is the
	// same with each filter asked for itself, as whoever filters after the fan-out does.
	PerSecond stats.Samples `json:"perSecond"`
	OneByOne  stats.Samples `json:"oneByOne"`
}

func (r *run) alone(ctx context.Context) error {
	return load.Apart(ctx, AloneCommand, AloneOptions{
		Triggers: slices.Max(triggerCounts), Rounds: r.AloneRounds, Each: r.Each / 5, Dir: filepath.Join(r.Dir, "alone"),
	}, &r.Alone)
}

// ServeAlone is the process of its own: AloneOptions in, an Alone out, both JSON.
func ServeAlone(ctx context.Context, in io.Reader, out io.Writer) error {
	return load.Answer(ctx, in, out, MeasureAlone)
}

// MeasureAlone measures on one core.
func MeasureAlone(ctx context.Context, o AloneOptions) (Alone, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	a := Alone{Triggers: o.Triggers}
	if err := a.idle(ctx, o); err != nil {
		return a, err
	}
	subjects, err := checkers(o.Triggers)
	if err != nil {
		return a, err
	}
	for _, s := range subjects {
		a.Checks = append(a.Checks, Check{Filter: s.name})
	}
	e := orderFrom(o.Triggers / 2)
	for range o.Rounds {
		for i, s := range subjects {
			for _, way := range []struct {
				match func(*event.Event) int
				into  *stats.Samples
			}{{s.indexed, &a.Checks[i].PerSecond}, {s.oneByOne, &a.Checks[i].OneByOne}} {
				perSecond, err := eventsPerSecond(e, o.Each, way.match)
				if err != nil {
					return a, fmt.Errorf("%s: %w", s.name, err)
				}
				*way.into = append(*way.into, perSecond*float64(o.Triggers))
			}
		}
	}
	return a, ctx.Err()
}

// eventsPerSecond matches an event again and again.
func eventsPerSecond(e *event.Event, over time.Duration, match func(*event.Event) int) (float64, error) {
	n, began := 0, time.Now()
	for ; time.Since(began) < over; n++ {
		if matched := match(e); matched != 1 {
			return 0, fmt.Errorf("%d filters passed the event, want 1", matched)
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// kinds are the kinds of filters, of which the i-th alone passes what orderFrom(i) makes.
var kinds = []struct {
	name string
	spec func(i int) filter.Spec
}{
	{"attributes", func(i int) filter.Spec {
		return filter.Spec{Filter: &filter.AttributesFilter{Attributes: map[string]string{
			"type": "com.example.order.created", "source": fmt.Sprintf("/shop/till/%d", i),
		}}}
	}},
	{"suffix", func(i int) filter.Spec {
		return filter.Spec{Filters: []filter.Dialect{{Suffix: map[string]string{"source": fmt.Sprintf("/%d", i)}}}}
	}},
	{"CESQL, equality", func(i int) filter.Spec {
		return filter.Spec{Filters: []filter.Dialect{{CESQL: fmt.Sprintf(
			"type = 'com.example.order.created' AND source = '/shop/till/%d' AND region IN ('eu', 'us')", i)}}}
	}},
	{"CESQL, LIKE", func(i int) filter.Spec {
		return filter.Spec{Filters: []filter.Dialect{{CESQL: fmt.Sprintf(
			"type LIKE 'com.example.%%' AND source LIKE '%%/till/%d' AND INT(hop) < 10 AND region IN ('eu', 'us')", i)}}}
	}},
}

func orderFrom(i int) *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType("com.example.order.created")
	e.SetSource(fmt.Sprintf("/shop/till/%d", i))
	e.SetExtension("region", "eu")
	e.SetExtension("hop", "3")
	return &e
}

// checker answers how many filters pass an event, in two ways.
type checker struct {
	name              string
	indexed, oneByOne func(*event.Event) int
}

func checkers(triggers int) ([]checker, error) {
	var out []checker
	for _, kind := range kinds {
		var compiler filter.Compiler
		byID, all := map[model.ReaderID]filter.Filter{}, []filter.Filter(nil)
		for i := range triggers {
			f, err := compiler.Compile(kind.spec(i))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind.name, err)
			}
			byID[readerID(i)] = f
			all = append(all, f)
		}
		set := filter.NewSet(byID)
		out = append(out, checker{
			name: kind.name,
			indexed: func(e *event.Event) (matched int) {
				set.Match(e, func(model.ReaderID) { matched++ })
				return matched
			},
			oneByOne: func(e *event.Event) (matched int) {
				for _, f := range all {
					if f.Pass(e) {
						matched++
					}
				}
				return matched
			},
		})
	}
	return out, nil
}

func readerID(i int) model.ReaderID { return model.ReaderID(fmt.Sprintf("trigger/default/%d", i)) }

// idle measures what Triggers take that get nothing: their readers at a dispatcher that runs, on a log on the disk.
func (a *Alone) idle(ctx context.Context, o AloneOptions) (err error) {
	l, err := jetstream.Open(ctx, jetstream.Options{Dir: o.Dir, Relaxed: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	const stream model.StreamID = "broker/default/idle"
	if err := l.Ensure(ctx, model.Stream{ID: stream}); err != nil {
		return err
	}
	sender := send.New(send.Options{})
	defer sender.Close()
	d := dispatch.New(dispatch.Options{Log: l, Sender: sender})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	before := inUse()
	for i := range o.Triggers {
		f, err := filter.Compile(kinds[0].spec(i))
		if err != nil {
			return err
		}
		reader := model.Reader{
			ID: readerID(i), Kind: model.Trigger, Key: model.Key{Namespace: "default", Name: fmt.Sprint(i)}, Stream: stream, Filter: f,
			Subscriber: model.Destination{URL: "http://nobody.default.svc.cluster.local"}, Delivery: model.Delivery{Retry: 10},
		}
		if err := d.Upsert(ctx, reader); err != nil {
			return err
		}
	}
	a.Bytes, a.Goroutines = float64(inUse()-before)/float64(o.Triggers), runtime.NumGoroutine()
	return nil
}

// inUse is how many bytes of heap and stacks are in use.
func inUse() int64 {
	var m runtime.MemStats
	// Twice, so that what finalizers and cleanups let go is gone too.
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
