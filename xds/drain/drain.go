package drain

import (
	"context"
	"log/slog"
	"sort"
	"time"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Gateways is what the drainer needs of the gateways' planner.
type Gateways interface {
	Rest(ctx context.Context, revision model.Key) error
	Wake(revision model.Key)
	Drained(ctx context.Context, revision model.Key) error
}

// Flights tells what replicas have in flight: by a report that is not older than since; ok is false while there is none.
type Flights interface {
	InFlight(proxy string, pod model.Key, since time.Time) (active float64, ok bool, changed <-chan struct{})
	// Underway is until when one has to reckon with requests that were let go and that no replica has counted yet; zero if there are none.
	Underway(revision model.Key) time.Time
}

// Hold tells whether requests wait for a revision.
type Hold interface {
	Waiting(revision model.Key) bool
	// Arrival returns a channel that is closed when one does; stop ends the watch.
	Arrival(revision model.Key) (arrived <-chan struct{}, stop func())
	// Close lets none of a revision's requests go until Open, replicas or not.
	Close(revision model.Key)
	Open(revision model.Key)
}

// transit is how long a request may be on its way that a gateway sends although it has acknowledged to send no more: its workers learn of
// that a moment after its main thread, on a busy machine tens of milliseconds later.
const transit = 100 * time.Millisecond

// margin is added to a revision's request timeout: nothing answers after that.
const margin = 5 * time.Second

// forever stands for requests without a timeout of their own.
const forever = 10 * time.Minute

// Drainer drains.
type Drainer struct {
	store    *store.Store
	gateways Gateways
	flights  Flights
	hold     Hold
	now      func() time.Time
	log      *slog.Logger
}

// New makes a drainer.
func New(s *store.Store, gateways Gateways, flights Flights, hold Hold, now func() time.Time, log *slog.Logger) *Drainer {
	return &Drainer{store: s, gateways: gateways, flights: flights, hold: hold, now: now, log: log}
}

// Sleep makes every gateway hold a revision's requests. It reports false, and the gateways serve again, when requests
// wait already.
func (d *Drainer) Sleep(ctx context.Context, revision model.Key) (bool, error) {
	if err := d.gateways.Rest(ctx, revision); err != nil {
		d.gateways.Wake(revision)
		return false, err
	}
	if d.hold.Waiting(revision) || ctx.Err() != nil {
		d.gateways.Wake(revision)
		return false, nil
	}
	return true, nil
}

// Wake makes the gateways serve a revision again.
func (d *Drainer) Wake(revision model.Key) { d.gateways.Wake(revision) }

// Empty readies a revision for having no replica at all: gateways hold, nothing is let go any more, what is in flight ends, and then no gateway
// has its replicas. Then it calls remove. When requests come meanwhile, or the context ends, everything is undone and remove is not called.
// The order matters: a request that was let go must find its replica, and one that comes later is held until there are others.
func (d *Drainer) Empty(ctx context.Context, revision model.Key, remove func(context.Context) error) error {
	defer d.gateways.Wake(revision)
	if err := d.gateways.Rest(ctx, revision); err != nil {
		return err
	}
	pods := pods(d.store.Read().ReplicasOf(revision))
	d.hold.Close(revision)
	defer d.hold.Open(revision)
	if err := d.quiet(ctx, revision, pods); err != nil {
		return err
	}
	// From here on the replicas are on their way out: they are not to be used again, whatever their pods say.
	d.mark(pods, true)
	err := d.gateways.Drained(ctx, revision)
	if err == nil {
		err = remove(ctx)
	}
	if err != nil {
		d.mark(pods, false)
		return err
	}
	d.leave(pods)
	return nil
}

// quiet returns when the replicas have nothing in flight and nothing is on its way to them.
func (d *Drainer) quiet(ctx context.Context, revision model.Key, pods []model.Key) error {
	arrived, stop := d.hold.Arrival(revision)
	defer stop()
	w := d.flightsOf(revision)
	for _, pod := range pods {
		if d.settle(ctx, pod, w, arrived) == interrupted {
			return errDemand(ctx)
		}
	}
	if d.hold.Waiting(revision) {
		return ErrDemand
	}
	return nil
}

// Retire takes some replicas of a revision out of service and then calls remove with them. When the context ends first,
// or remove fails, they serve again; and so do those that the ReplicaSet keeps, with Reinstate.
func (d *Drainer) Retire(ctx context.Context, revision model.Key, victims []model.Key, remove func(context.Context) error) error {
	d.mark(victims, true)
	if err := d.drained(ctx, revision, victims); err != nil {
		d.mark(victims, false)
		return err
	}
	if err := remove(ctx); err != nil {
		d.mark(victims, false)
		return err
	}
	d.leave(victims)
	return nil
}

func (d *Drainer) drained(ctx context.Context, revision model.Key, victims []model.Key) error {
	if err := d.gateways.Drained(ctx, revision); err != nil {
		return err
	}
	w := d.flightsOf(revision)
	for _, pod := range victims {
		if d.settle(ctx, pod, w, nil) == interrupted {
			return context.Cause(ctx)
		}
	}
	return nil
}

// Leaving drains a pod that is being deleted, whoever deletes it, and reports whether it was through in time.
func (d *Drainer) Leaving(ctx context.Context, pod model.Key) bool {
	replica, ok := d.store.Read().Replica(pod)
	if !ok {
		return true
	}
	d.mark([]model.Key{pod}, true)
	revision := replica.Revision.Key
	if err := d.gateways.Drained(ctx, revision); err != nil {
		d.log.Warn("pod leaves before every gateway knew", "pod", pod.String(), "error", err)
		return false
	}
	return d.settle(ctx, pod, d.flightsOf(revision), nil) == settled
}

// window is which reports of flights count, and until when one waits for their end.
type window struct{ since, deadline time.Time }

// flightsOf counts from now on: every gateway sends elsewhere.
func (d *Drainer) flightsOf(revision model.Key) window {
	now := d.now()
	within := forever
	if r, ok := d.store.Read().Revision(revision); ok && r.Timeouts.Request > 0 {
		within = r.Timeouts.Request + margin
	}
	return window{since: now.Add(transit), deadline: now.Add(within)}
}

// ending is how a wait for a replica's requests ended.
type ending int

const (
	// settled: it has none.
	settled ending = iota
	// overdue: it has some past the deadline, and nobody waits for their answers any more.
	overdue
	// interrupted: the wait was stopped, or the context ended.
	interrupted
)

// settle waits until a replica has nothing in flight.
func (d *Drainer) settle(ctx context.Context, pod model.Key, w window, stop <-chan struct{}) ending {
	for {
		select {
		case <-stop:
			return interrupted
		case <-ctx.Done():
			return interrupted
		default:
		}
		replica, ok := d.store.Read().Replica(pod)
		if !ok || !replica.Programmed {
			return settled
		}
		active, reported, changed := d.flights.InFlight(replica.Proxy, pod, w.since)
		coming := d.flights.Underway(replica.Revision.Key).Sub(d.now())
		if reported && active == 0 && coming <= 0 {
			return settled
		}
		left := w.deadline.Sub(d.now())
		if left <= 0 {
			d.log.Warn("replica leaves with requests in flight: their time is over", "pod", pod.String(), "active", active)
			return overdue
		}
		if reported && active == 0 {
			left = min(left, coming)
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-stop:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (d *Drainer) mark(pods []model.Key, draining bool) {
	d.store.Write(func(tx *store.Tx) { mark(tx, pods, draining) })
}

func mark(tx *store.Tx, pods []model.Key, draining bool) {
	for _, pod := range pods {
		tx.ChangeReplica(pod, func(r *store.Replica) { r.Draining, r.Left = draining, false })
	}
}

func pods(replicas []*store.Replica) []model.Key {
	out := make([]model.Key, 0, len(replicas))
	for _, r := range replicas {
		out = append(out, r.Pod)
	}
	return out
}

// errDemand is why a drain ended early.
func errDemand(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return ErrDemand
}

// Victims chooses n replicas to go: those that are no use yet, then those with the least in flight, then the youngest.
// Those that are on their way out already come first of all: they are counted, not chosen anew.
func (d *Drainer) Victims(revision model.Key, n int) []model.Key {
	replicas := d.store.Read().ReplicasOf(revision)
	active := map[model.Key]float64{}
	for _, r := range replicas {
		active[r.Pod], _, _ = d.flights.InFlight(r.Proxy, r.Pod, time.Time{})
	}
	return victims(replicas, active, n)
}

func victims(replicas []*store.Replica, active map[model.Key]float64, n int) []model.Key {
	sorted := append([]*store.Replica(nil), replicas...)
	rank := func(r *store.Replica) int {
		switch {
		case r.Draining:
			return 0
		case !r.Ready():
			return 1
		}
		return 2
	}
	sort.SliceStable(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		if rank(a) != rank(b) {
			return rank(a) < rank(b)
		}
		if active[a.Pod] != active[b.Pod] {
			return active[a.Pod] < active[b.Pod]
		}
		return a.Started.After(b.Started)
	})
	var out []model.Key
	for _, r := range sorted {
		if len(out) == n {
			break
		}
		// A pod that is being deleted is not the Deployment's to count any more.
		if !r.Terminating {
			out = append(out, r.Pod)
		}
	}
	return out
}
