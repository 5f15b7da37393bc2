package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Log is what is swept.
type Log interface {
	log.Lister
	// Own notes which cluster, by the UID of its namespace kube-system, the log is of. It fails with ErrAnotherCluster if that is another one.
	Own(ctx context.Context, cluster types.UID) error
	Remove(ctx context.Context, stream model.StreamID) error
	Forget(ctx context.Context, stream model.StreamID, reader model.ReaderID) error
}

// Noting is a log of one cluster, which keeps as the state of a reader which one that is.
type Noting struct {
	Whole
}

// Whole is a log that can say what it keeps.
type Whole interface {
	log.Log
	log.Lister
}

// Sweeper sweeps a log.
type Sweeper struct {
	Log Log
	// Objects reads the API itself, not a cache: what was made a moment ago has to be in its lists.
	Objects client.Reader
	Logger  *slog.Logger
	Clock   clock.WithDelayedExecution
}

// kinds are those that streams and readers are made for.
var kinds = []schema.GroupVersionKind{
	eventingv1.SchemeGroupVersion.WithKind("Broker"), eventingv1.SchemeGroupVersion.WithKind("Trigger"),
	messagingv1.SchemeGroupVersion.WithKind("InMemoryChannel"), messagingv1.SchemeGroupVersion.WithKind("Subscription"),
	sourcesv1.SchemeGroupVersion.WithKind("ApiServerSource"),
	messagingv1beta1.SchemeGroupVersion.WithKind("KafkaChannel"), messagingv1alpha1.SchemeGroupVersion.WithKind("NatsJetStreamChannel"),
}

// The place where the log keeps which cluster it is of: the state of a reader of an empty stream.
const (
	ownerStream = model.StreamID("ebb.cluster")
	ownerReader = model.ReaderID("cluster")
)

// ErrAnotherCluster says that a log holds events of another cluster.
var ErrAnotherCluster = errors.New("the event log is of another cluster")

// retry is how long after a failure it is tried again.
const retry = time.Minute

// Run sweeps once, and tries again as long as that fails.
func (s *Sweeper) Run(ctx context.Context) {
	for {
		plan, err := s.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrAnotherCluster):
			s.Logger.Warn("event log not swept", "error", err)
			return
		case err == nil:
			if len(plan.Streams)+len(plan.Readers) > 0 {
				s.Logger.Info("event log swept", "streams", len(plan.Streams), "readers", len(plan.Readers))
			}
			return
		}
		s.Logger.Warn("event log not swept, tried again", "in", retry, "error", err)
		due := make(chan struct{})
		timer := s.Clock.AfterFunc(retry, func() { close(due) })
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-due:
		}
	}
}

// Sweep drops what is certainly gone, and says what that was.
func (s *Sweeper) Sweep(ctx context.Context) (Plan, error) {
	if err := s.own(ctx); err != nil {
		return Plan{}, err
	}
	// First the log, then the API: whatever is in the log by then was made for an object that the API had, and has unless it was deleted.
	kept, err := s.kept(ctx)
	if err != nil {
		return Plan{}, err
	}
	live, err := s.live(ctx)
	if err != nil {
		return Plan{}, err
	}
	plan := Decide(kept, live)
	var errs []error
	for _, stream := range plan.Streams {
		s.Logger.Info("stream of a deleted object dropped", "stream", stream)
		errs = append(errs, s.Log.Remove(ctx, stream))
	}
	for _, r := range plan.Readers {
		s.Logger.Info("reader of a deleted object forgotten", "stream", r.Stream, "reader", r.Reader)
		if err := s.Log.Forget(ctx, r.Stream, r.Reader); !errors.Is(err, log.ErrUnknown) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return plan, fmt.Errorf("drop what deleted objects left in the event log: %w", err)
	}
	return plan, nil
}

// own notes which cluster the log is of, or fails if that is another one.
func (s *Sweeper) own(ctx context.Context) error {
	var system corev1.Namespace
	if err := s.Objects.Get(ctx, types.NamespacedName{Name: metav1.NamespaceSystem}, &system); err != nil {
		return fmt.Errorf("read namespace %s, whose UID tells clusters apart: %w", metav1.NamespaceSystem, err)
	}
	return s.Log.Own(ctx, system.UID)
}

// Own notes which cluster the log is of, or fails if that is another one.
func (l Noting) Own(ctx context.Context, cluster types.UID) error {
	if err := l.Ensure(ctx, model.Stream{ID: ownerStream}); err != nil {
		return fmt.Errorf("make stream %s: %w", ownerStream, err)
	}
	owner, err := l.Kept(ctx, ownerStream, ownerReader)
	switch {
	case err != nil:
		return fmt.Errorf("read which cluster the event log is of: %w", err)
	case owner == nil:
		if err := l.Keep(ctx, ownerStream, ownerReader, 0, []byte(cluster)); err != nil {
			return fmt.Errorf("note which cluster the event log is of: %w", err)
		}
	case types.UID(owner) != cluster:
		return fmt.Errorf("%w: it was of the one whose namespace %s has UID %s, this one's has %s; give this cluster a folder of its own",
			ErrAnotherCluster, metav1.NamespaceSystem, owner, cluster)
	}
	return nil
}

func (s *Sweeper) kept(ctx context.Context) (map[model.StreamID][]model.ReaderID, error) {
	streams, err := s.Log.Streams(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the streams of the event log: %w", err)
	}
	out := make(map[model.StreamID][]model.ReaderID, len(streams))
	for _, id := range streams {
		if out[id], err = s.Log.Readers(ctx, id); err != nil {
			return nil, fmt.Errorf("list the readers of stream %s: %w", id, err)
		}
	}
	return out, nil
}

// live are the UIDs of all objects that streams and readers are made for.
func (s *Sweeper) live(ctx context.Context) (map[types.UID]bool, error) {
	out := map[types.UID]bool{}
	for _, kind := range kinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := s.Objects.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list all of kind %s: %w", kind.Kind, err)
		}
		for i := range list.Items {
			out[list.Items[i].UID] = true
		}
	}
	return out, nil
}
