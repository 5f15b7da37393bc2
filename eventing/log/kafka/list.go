package kafka

import (
	"context"
	"maps"
	"slices"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

var _ log.Lister = (*Log)(nil)

// Streams are all streams there are, without their partitions.
func (l *Log) Streams(context.Context) ([]model.StreamID, error) {
	return slices.Collect(maps.Keys(l.states.streams())), nil
}

// Readers are all that keep a state of a stream or of one of its partitions.
func (l *Log) Readers(_ context.Context, id model.StreamID) ([]model.ReaderID, error) {
	var out []model.ReaderID
	for _, name := range l.states.readersOf(id) {
		out = append(out, name.reader)
	}
	return out, nil
}
