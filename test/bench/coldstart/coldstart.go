package coldstart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ebb.dev/ebb/test/bench/memory"
	"ebb.dev/ebb/test/bench/stats"
	"ebb.dev/ebb/test/bench/testbed"
	"ebb.dev/ebb/xds/phases"
)

// Options of a run.
type Options struct {
	// Batch is how many services are woken one after the other, before all go to sleep again.
	Batch int
	// Rounds is how often the batch is woken after its first wake.
	Rounds int
	// Scales are the numbers of services that exist at zero.
	Scales []int
	// Idle is how long the platform is looked at with each of these numbers, while nothing is asked of it.
	Idle time.Duration
	Log  *slog.Logger
}

// Rest is the platform with a number of services at zero and nothing to do.
type Rest struct {
	Services int
	Parts    []memory.Part
}

// Start is one cold start of each kind, in milliseconds.
type Start struct {
	// Services is how many exist, First that it is the service's first wake.
	Services int  `json:"services"`
	First    bool `json:"first"`
	// Answered is from the request to its whole answer.
	Answered float64 `json:"answered"`
	// AppListening is from the request until the app said that it listens.
	AppListening float64 `json:"appListening"`
	// Arrived is from the request until the control plane held it, and Phases are what it recorded from then on.
	Arrived float64            `json:"arrived"`
	Phases  map[string]float64 `json:"phases"`
	// Created and Listening are those of the bare pod, from its scale patch.
	Created   float64 `json:"bareCreated"`
	Listening float64 `json:"bareListening"`
}

// startTimeout bounds one start.
const startTimeout = time.Minute

// pair is a service and its bare twin.
type pair struct{ service, revision, bare string }

type run struct {
	Options
	bed   *testbed.Bed
	have  int
	rests []Rest
}

// Measure makes all cold starts, on a platform without services, and looks at it at rest before those of each scale.
func Measure(ctx context.Context, bed *testbed.Bed, o Options) ([]Start, []Rest, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := bed.WatchBare(ctx); err != nil {
		return nil, nil, err
	}
	r := run{Options: o, bed: bed}
	var out []Start
	for _, scale := range o.Scales {
		starts, err := r.scale(ctx, scale)
		out = append(out, starts...)
		if err != nil {
			return out, r.rests, fmt.Errorf("with %d services: %w", scale, err)
		}
	}
	return out, r.rests, nil
}

// scale adds services up to a number and wakes a fresh batch of them.
func (r *run) scale(ctx context.Context, scale int) ([]Start, error) {
	var services []testbed.Service
	for i := range max(r.Batch, scale-r.have) {
		services = append(services, testbed.Service{Name: fmt.Sprintf("cold-%d-%d", scale, i)})
	}
	r.Log.Info("services are made", "services", len(services))
	if err := r.bed.Create(ctx, services...); err != nil {
		return nil, err
	}
	r.have += len(services)
	var pairs []pair
	for _, s := range services[:r.Batch] {
		revision, err := r.bed.Revision(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		p := pair{service: s.Name, revision: revision, bare: s.Name}
		if err := r.bed.MakeBare(ctx, revision, p.bare); err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	parts, err := memory.Look(ctx, r.bed.State, r.Idle)
	if err != nil {
		return nil, err
	}
	r.rests = append(r.rests, Rest{Services: r.have, Parts: parts})
	var out []Start
	for round := range r.Rounds + 1 {
		starts, err := r.round(ctx, pairs, scale, round)
		out = append(out, starts...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (r *run) round(ctx context.Context, pairs []pair, scale, round int) ([]Start, error) {
	if err := r.bed.Sleep(ctx); err != nil {
		return nil, err
	}
	if err := r.bed.Stay(ctx); err != nil {
		return nil, err
	}
	var out []Start
	for i, p := range pairs {
		s := Start{Services: r.have, First: round == 0}
		steps := []func(context.Context, pair, *Start) error{r.ebb, r.bare}
		if (i+round)%2 == 1 {
			steps[0], steps[1] = steps[1], steps[0]
		}
		for _, step := range steps {
			if err := testbed.Pause(ctx, quietTime); err != nil {
				return out, err
			}
			if err := step(ctx, p, &s); err != nil {
				return out, err
			}
		}
		out = append(out, s)
	}
	r.Log.Info("woken in turns", "services", r.have, "round", round, "ebb_p50_ms", Answered(out).Median(), "bare_p50_ms", Listening(out).Median())
	return out, nil
}

// quietTime is how long nothing is asked of the machine before a start: statuses of the one before are written then.
const quietTime = 400 * time.Millisecond

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ebb wakes a service by a request.
func (r *run) ebb(ctx context.Context, p pair, s *Start) error {
	r.bed.Starts.Forget()
	begin := time.Now()
	took, err := testbed.Ask(r.bed.Gateway(), r.bed.URLHost(p.service), "/")
	if err != nil {
		return fmt.Errorf("wake %s: %w", p.service, err)
	}
	s.Answered = milliseconds(took)
	listening, err := r.listening(ctx)
	if err != nil {
		return err
	}
	s.AppListening = milliseconds(listening.Sub(begin))
	var wakes []phases.Wake
	if err := r.bed.Debug(ctx, "/debug/wakes", &wakes); err != nil {
		return err
	}
	for _, wake := range wakes {
		if wake.Revision == testbed.Services+"/"+p.revision && wake.At.After(begin) {
			s.Arrived, s.Phases = milliseconds(wake.At.Sub(begin)), wake.Phases
			return nil
		}
	}
	return fmt.Errorf("wake %s: the control plane has recorded no cold start of %s: it was not at zero", p.service, p.revision)
}

// bare starts the same pod without Ebb.
func (r *run) bare(ctx context.Context, p pair, s *Start) error {
	r.bed.Starts.Forget()
	begin := time.Now()
	if err := r.bed.Scale(ctx, testbed.Bare, p.bare, 1); err != nil {
		return err
	}
	listening, err := r.listening(ctx)
	if err != nil {
		return err
	}
	s.Listening = milliseconds(listening.Sub(begin))
	// The app's own word may be ahead of the API server's.
	s.Created = s.Listening
	if created := r.bed.Starts.Created(); !created.IsZero() && created.Before(listening) {
		s.Created = milliseconds(created.Sub(begin))
	}
	return nil
}

// listening is when the one app that is being started listened.
func (r *run) listening(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("it took too long"))
	defer cancel()
	starts, err := r.bed.Starts.Listening(ctx, 1)
	if err != nil {
		return time.Time{}, err
	}
	return starts[0], nil
}

// Answered lists what clients of Ebb waited.
func Answered(starts []Start) stats.Samples {
	return each(starts, func(s Start) float64 { return s.Answered })
}

// Listening lists what bare pods took.
func Listening(starts []Start) stats.Samples {
	return each(starts, func(s Start) float64 { return s.Listening })
}

func each(starts []Start, f func(Start) float64) stats.Samples {
	out := make(stats.Samples, 0, len(starts))
	for _, s := range starts {
		out = append(out, f(s))
	}
	return out
}
