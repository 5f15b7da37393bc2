package kafka

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// statesConfig makes a topic that keeps the last record of each key, and little more.
var statesConfig = map[string]string{
	"cleanup.policy": "compact", "segment.bytes": "16777216", "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1",
	"max.compaction.lag.ms": "3600000",
}

// The kinds of records in the topic of states; a key is a kind and the names, with blanks that no name has between them.
const (
	kindStream = "stream"
	kindReader = "reader"
	blank      = "\x00"
)

// keptStream is what is kept of a stream.
type keptStream struct {
	Topic      string       `json:"topic"`
	External   bool         `json:"external,omitempty"`
	Partitions int32        `json:"partitions"`
	Limits     model.Limits `json:"limits,omitzero"`
}

// keptReader is what is kept of a reader.
type keptReader struct {
	read  log.Position
	state []byte
}

type readerName struct {
	stream model.StreamID
	reader model.ReaderID
}

// states are those of all streams and readers, in memory and in one compacted topic.
type states struct {
	log   *Log
	topic string

	mu         sync.Mutex
	allStreams map[model.StreamID]keptStream
	readers    map[readerName]keptReader
}

func (l *Log) openStates(ctx context.Context) (*states, error) {
	s := &states{log: l, topic: l.options.Name + "-broker-states", allStreams: map[model.StreamID]keptStream{}, readers: map[readerName]keptReader{}}
	t := topic.Topic{Name: s.topic, Partitions: 1, Replication: l.options.Replication, Config: statesConfig}
	if _, err := l.ensureTopic(ctx, t); err != nil {
		return nil, fmt.Errorf("topic %s: %w", s.topic, err)
	}
	offset, err := l.offset(ctx, s.topic, 0, earliest)
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", s.topic, err)
	}
	for {
		got, err := l.page(ctx, s.topic, 0, offset, pageBytes)
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", s.topic, err)
		}
		for _, r := range got.records {
			if err := s.take(string(r.Key), r.Value); err != nil {
				return nil, fmt.Errorf("topic %s: offset %d: %w", s.topic, r.Offset, err)
			}
		}
		if got.next == offset || got.next >= got.end {
			return s, nil
		}
		offset = got.next
	}
}

// take takes over one record.
func (s *states) take(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(key, blank)
	switch {
	case len(parts) == 2 && parts[0] == kindStream:
		id := model.StreamID(parts[1])
		if value == nil {
			delete(s.allStreams, id)
			return nil
		}
		var kept keptStream
		if err := json.Unmarshal(value, &kept); err != nil {
			return fmt.Errorf("stream %s: %w", id, err)
		}
		s.allStreams[id] = kept
	case len(parts) == 3 && parts[0] == kindReader:
		name := readerName{model.StreamID(parts[1]), model.ReaderID(parts[2])}
		if value == nil {
			delete(s.readers, name)
			return nil
		}
		read, n := binary.Uvarint(value)
		if n <= 0 {
			return fmt.Errorf("reader %s of stream %s: its state is malformed", name.reader, name.stream)
		}
		s.readers[name] = keptReader{log.Position(read), value[n:]}
	}
	return nil
}

// write stores a record and then takes it over.
func (s *states) write(ctx context.Context, value []byte, key ...string) error {
	ctx, cancel := s.log.bounded(ctx)
	defer cancel()
	joined := strings.Join(key, blank)
	done := make(chan error, 1)
	r := &kgo.Record{Topic: s.topic, Key: []byte(joined), Value: value, Timestamp: s.log.options.Now()}
	s.log.client.TryProduce(s.log.ctx, r, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return fmt.Errorf("Kafka has not confirmed it: %w", ctx.Err())
	}
	return s.take(joined, value)
}

func (s *states) streams() map[model.StreamID]keptStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.allStreams)
}

func (s *states) keepStream(ctx context.Context, id model.StreamID, kept keptStream) error {
	s.mu.Lock()
	had, has := s.allStreams[id]
	s.mu.Unlock()
	if has && had == kept {
		return nil
	}
	value, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return s.write(ctx, value, kindStream, string(id))
}

// forgetStream drops a stream and its readers, these first: a stream that is left behind without them does no harm.
func (s *states) forgetStream(ctx context.Context, id model.StreamID) error {
	for _, reader := range s.readersOf(id) {
		if err := s.forgetReader(ctx, reader); err != nil {
			return err
		}
	}
	s.mu.Lock()
	_, has := s.allStreams[id]
	s.mu.Unlock()
	if !has {
		return nil
	}
	return s.write(ctx, nil, kindStream, string(id))
}

// readersOf are the readers of a stream and of its partitions.
func (s *states) readersOf(id model.StreamID) []readerName {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []readerName
	for name := range s.readers {
		if base, _ := partition.Of(name.stream); base == id || name.stream == id {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b readerName) int { return strings.Compare(string(a.reader), string(b.reader)) })
	return out
}

// all are the names of all readers.
func (s *states) all() []readerName {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.readers))
}

func (s *states) forgetReader(ctx context.Context, name readerName) error {
	s.mu.Lock()
	_, has := s.readers[name]
	s.mu.Unlock()
	if !has {
		return nil
	}
	return s.write(ctx, nil, kindReader, string(name.stream), string(name.reader))
}

// canonical is a stream's name as states have it: that of a partition, also where the topic has only one.
func (l *Log) canonical(id model.StreamID) (model.StreamID, *part, error) {
	p, err := l.one(id)
	if err != nil {
		return "", nil, err
	}
	return partition.Stream(p.stream.id, p.n), p, nil
}

// Keep stores a reader's state, and has its position committed to its consumer group soon.
func (l *Log) Keep(ctx context.Context, id model.StreamID, reader model.ReaderID, read log.Position, state []byte) error {
	canonical, p, err := l.canonical(id)
	if err != nil {
		return err
	}
	value := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+len(state)), uint64(read))
	value = append(value, state...)
	if err := l.states.write(ctx, value, kindReader, string(canonical), string(reader)); err != nil {
		return fmt.Errorf("state of reader %s of stream %s: %w", reader, id, l.explain(err))
	}
	l.groups.read(reader, p, read)
	return nil
}

// Kept returns what was kept last.
func (l *Log) Kept(_ context.Context, id model.StreamID, reader model.ReaderID) ([]byte, error) {
	canonical, _, err := l.canonical(id)
	if err != nil {
		return nil, err
	}
	l.states.mu.Lock()
	defer l.states.mu.Unlock()
	kept, has := l.states.readers[readerName{canonical, reader}]
	if !has {
		return nil, nil
	}
	return append([]byte{}, kept.state...), nil
}

// Forget drops a reader, and its consumer group with the last of its partitions.
func (l *Log) Forget(ctx context.Context, id model.StreamID, reader model.ReaderID) error {
	canonical, p, err := l.canonical(id)
	if err != nil {
		return err
	}
	name := readerName{canonical, reader}
	if err := l.states.forgetReader(ctx, name); err != nil {
		return fmt.Errorf("forget reader %s of stream %s: %w", reader, id, l.explain(err))
	}
	l.groups.forget(ctx, name, p.stream.topic)
	return nil
}
