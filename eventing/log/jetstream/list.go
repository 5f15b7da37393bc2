package jetstream

import (
	"context"
	"maps"
	"slices"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

var _ log.Lister = (*Log)(nil)

// Streams are all streams there are: those found when the log was opened, and those made since.
func (l *Log) Streams(context.Context) ([]model.StreamID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.streams)), nil
}

// Readers are all that keep a state of a stream.
func (l *Log) Readers(_ context.Context, id model.StreamID) ([]model.ReaderID, error) {
	l.readers.mu.Lock()
	defer l.readers.mu.Unlock()
	if of := l.readers.streams[id]; of != nil {
		return slices.Collect(maps.Keys(of.kept)), nil
	}
	return nil, nil
}
