package controlplane

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/autoscale/signal"
	"ebb.dev/ebb/autoscale/target"
	"ebb.dev/ebb/xds/drain"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/server"
	"ebb.dev/ebb/xds/store"
)

// holdSource is the name under which this process's hold reports demand.
const holdSource = "hold"

// holdTouch is how often the hold's unchanged counts are confirmed: the signal forgets a source that is silent for two seconds.
const holdTouch = time.Second

func revisionOf(key model.Key) scale.Revision { return scale.Revision(key) }

func keyOf(name types.NamespacedName) model.Key { return model.Key(name) }

// scaling is the autoscaler as the xds room sees it.
type scaling struct {
	signal  *signal.Store
	engine  *scale.Engine
	targets *target.Targets
	store   *store.Store
	drainer *drain.Drainer
	now     func() time.Time
}

// Held implements hold.Demand: demand counts, and reaches the decision at once.
func (s *scaling) Held(revision model.Key, held int) {
	s.signal.Held(holdSource, s.now(), revisionOf(revision), held)
	if held > 0 {
		s.engine.Poke(revisionOf(revision))
	}
}

// Backlogs takes all that a broker has waiting for revisions, which reaches the decision at once.
func (s *scaling) Backlogs(source string, waiting map[scale.Revision]decide.Backlog) {
	s.signal.Backlogs(source, s.now(), waiting)
	for revision := range waiting {
		s.engine.Poke(revision)
	}
}

// Report implements server.Sink.
func (s *scaling) Report(proxy string, at time.Time, samples []server.Sample, _ []server.Flight) {
	out := make([]signal.Sample, 0, len(samples))
	for _, sample := range samples {
		out = append(out, signal.Sample{
			Revision: revisionOf(sample.Revision), Inflight: sample.Active + sample.Pending,
			Requests: sample.Requests, Finished: sample.Busy,
		})
	}
	s.signal.Report(proxy, at, out)
}

// decided puts the hold in the path of a revision that runs, or takes it out, as the decision says. What is at zero is
// held by its state alone, so that its first requests pass as soon as it is up.
func (s *scaling) decided(revision scale.Revision, d decide.Decision) {
	key, held := keyOf(revision), d.HoldInPath && d.Desired > 0
	if r, ok := s.store.Read().Revision(key); !ok || r.AlwaysHeld == held {
		return
	}
	s.store.Write(func(tx *store.Tx) { tx.SetAlwaysHeld(key, held) })
}

// Silent implements server.Sink.
func (s *scaling) Silent(proxy string) { s.signal.Drop(proxy, s.now()) }

// Coming implements xds.Autoscaler.
func (s *scaling) Coming(revision model.Key) bool {
	ready, _ := s.counts(revisionOf(revision))
	return s.targets.Wanted(revisionOf(revision)) > ready
}

// counts are a revision's replicas as the gateways know them.
func (s *scaling) counts(revision scale.Revision) (ready, total int32) {
	for _, replica := range s.store.Read().ReplicasOf(keyOf(revision)) {
		total++
		if replica.Ready() {
			ready++
		}
	}
	return ready, total
}

// touch keeps the hold's counts alive until the context ends.
func (s *scaling) touch(ctx context.Context) {
	ticker := time.NewTicker(holdTouch)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.signal.Touch(holdSource, s.now())
		}
	}
}

// drainer is the xds room's drainer as the autoscaler sees it.
type drainer struct{ *drain.Drainer }

func (d drainer) Sleep(ctx context.Context, revision scale.Revision) (bool, error) {
	return d.Drainer.Sleep(ctx, keyOf(revision))
}

func (d drainer) Wake(revision scale.Revision) { d.Drainer.Wake(keyOf(revision)) }

func (d drainer) Empty(ctx context.Context, revision scale.Revision, remove func(context.Context) error) error {
	return d.Drainer.Empty(ctx, keyOf(revision), remove)
}

func (d drainer) Victims(revision scale.Revision, n int) []types.NamespacedName {
	var out []types.NamespacedName
	for _, pod := range d.Drainer.Victims(keyOf(revision), n) {
		out = append(out, types.NamespacedName(pod))
	}
	return out
}

func (d drainer) Retire(ctx context.Context, revision scale.Revision, pods []types.NamespacedName, remove func(context.Context) error) error {
	victims := make([]model.Key, 0, len(pods))
	for _, pod := range pods {
		victims = append(victims, keyOf(pod))
	}
	return d.Drainer.Retire(ctx, keyOf(revision), victims, remove)
}

func (d drainer) Reinstate(revision scale.Revision, wanted int) {
	d.Drainer.Reinstate(keyOf(revision), wanted)
}
