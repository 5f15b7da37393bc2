package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// Owned is what of a log is its owner's alone, and can be dropped by whoever finds that nobody asks for it any more.
type Owned struct {
	*Log
	// Spared names the topics that somebody has a use for, whoever made them; nil spares none.
	Spared func(ctx context.Context) (map[string]bool, error)
}

// ErrOwner says that streams are somebody else's.
var ErrOwner = errors.New("the streams have another owner")

// Own fails where the log is not the owner's.
func (o Owned) Own(_ context.Context, owner types.UID) error {
	if o.options.Owner != string(owner) {
		return fmt.Errorf("%w: on Kafka at %s they are those of %q, not of %q", ErrOwner, o.options.Cluster, o.options.Owner, owner)
	}
	return nil
}

// Streams are those that the owner had made; what is kept in somebody else's topic is not among them.
func (o Owned) Streams(context.Context) ([]model.StreamID, error) {
	var out []model.StreamID
	for id, kept := range o.states.streams() {
		if kept.Owner != "" && kept.Owner == o.options.Owner {
			out = append(out, id)
		}
	}
	return out, nil
}

// Remove drops a stream and its readers, and its topic if that was made for it and nobody has a use for it.
func (o Owned) Remove(ctx context.Context, id model.StreamID) error {
	spared := map[string]bool{}
	if o.Spared != nil {
		var err error
		if spared, err = o.Spared(ctx); err != nil {
			return fmt.Errorf("find the topics that are to stay: %w", err)
		}
	}
	return o.remove(ctx, id, func(s *stream) bool {
		return !s.isExternal() && !spared[s.topic] && o.states.made(s.topic)
	})
}

// Forget drops a reader, which is that of a partition.
func (o Owned) Forget(ctx context.Context, id model.StreamID, reader model.ReaderID) error {
	if _, n := partition.Of(reader); n >= 0 {
		id = partition.Stream(id, n)
	}
	return o.Log.Forget(ctx, id, reader)
}

// Used reports whether a cluster has states of a log with these options.
func Used(ctx context.Context, o Options) (bool, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	client, err := o.Cluster.Connect(ctx, o.Name+"-broker")
	if err != nil {
		return false, err
	}
	defer client.Close()
	_, err = topic.Partitions(ctx, client, o.statesTopic())
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return false, nil
	}
	return err == nil, err
}

// Go has f run until it returns; its context ends with the log, which waits for it.
func (l *Log) Go(f func(ctx context.Context)) { l.work.Go(func() { f(l.ctx) }) }
