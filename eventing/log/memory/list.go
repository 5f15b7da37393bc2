package memory

import (
	"context"
	"maps"
	"slices"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

var _ log.Lister = (*Log)(nil)

// Streams are all streams there are.
func (l *Log) Streams(context.Context) ([]model.StreamID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.streams)), nil
}

// Readers are all that keep a state of a stream.
func (l *Log) Readers(_ context.Context, id model.StreamID) ([]model.ReaderID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.streams[id]; s != nil {
		return slices.Collect(maps.Keys(s.readers)), nil
	}
	return nil, nil
}
