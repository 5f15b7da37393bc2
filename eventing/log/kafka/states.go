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
	kindGroup  = "group"
	kindHolder = "holder"
	blank      = "\x00"
)

// keptStream is what is kept of a stream.
type keptStream struct {
	Topic      string       `json:"topic"`
	External   bool         `json:"external,omitempty"`
	Partitions int32        `json:"partitions"`
	Limits     model.Limits `json:"limits,omitzero"`
	// Owner is whose it is, and Made that the topic was not there before: only then is it known to be nobody else's.
	Owner string `json:"owner,omitempty"`
	Made  bool   `json:"made,omitempty"`
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
	// groups are the consumer groups that show readers, or the readers of their partitions.
	groups map[model.ReaderID]string
	// holders are who keeps states, by owner.
	holders map[string]string
}

func (l *Log) openStates(ctx context.Context) (*states, error) {
	s := &states{
		log: l, topic: l.options.statesTopic(), allStreams: map[model.StreamID]keptStream{}, readers: map[readerName]keptReader{},
		groups: map[model.ReaderID]string{}, holders: map[string]string{},
	}
	fail := func(err error) (*states, error) { return nil, fmt.Errorf("topic %s: %w", s.topic, err) }
	t := topic.Topic{Name: s.topic, Partitions: 1, Replication: l.options.Replication, Config: statesConfig}
	if _, _, err := l.ensureTopic(ctx, t); err != nil {
		return fail(err)
	}
	offset, err := l.offset(ctx, s.topic, 0, topic.Earliest)
	if err != nil {
		return fail(err)
	}
	if offset, err = s.catchUp(ctx, offset); err != nil {
		return fail(err)
	}
	if offset, err = s.hold(ctx, offset); err != nil {
		return fail(err)
	}
	l.tails.watch(s.topic, offset)
	return s, nil
}

// catchUp takes over what there is from an offset on, and returns the one that comes next.
func (s *states) catchUp(ctx context.Context, offset int64) (next int64, err error) {
	for {
		got, err := s.log.page(ctx, s.topic, 0, offset, pageBytes)
		if err != nil {
			return 0, err
		}
		for _, r := range got.records {
			if err := s.take(r); err != nil {
				return 0, fmt.Errorf("offset %d: %w", r.Offset, err)
			}
		}
		if got.next == offset || got.next >= got.end {
			return got.next, nil
		}
		offset = got.next
	}
}

// take takes over one record.
func (s *states) take(r *kgo.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	value := r.Value
	parts := strings.Split(string(r.Key), blank)
	if parts[0] != kindHolder && s.void(r) {
		return nil
	}
	switch {
	case len(parts) == 2 && parts[0] == kindHolder:
		s.holders[parts[1]] = string(value)
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
	case len(parts) == 2 && parts[0] == kindGroup:
		if value == nil {
			delete(s.groups, model.ReaderID(parts[1]))
			return nil
		}
		s.groups[model.ReaderID(parts[1])] = string(value)
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

// have is what is known by a key, as a record has it; nil for nothing.
func (s *states) have(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(key, blank)
	switch {
	case len(parts) == 2 && parts[0] == kindStream:
		if kept, has := s.allStreams[model.StreamID(parts[1])]; has {
			return json.Marshal(kept)
		}
	case len(parts) == 2 && parts[0] == kindGroup:
		if group, has := s.groups[model.ReaderID(parts[1])]; has {
			return []byte(group), nil
		}
	case len(parts) == 3 && parts[0] == kindReader:
		if kept, has := s.readers[readerName{model.StreamID(parts[1]), model.ReaderID(parts[2])}]; has {
			return readerValue(kept.read, kept.state), nil
		}
	}
	return nil, nil
}

// readerValue is a reader's state as a record has it.
func readerValue(read log.Position, state []byte) []byte {
	value := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+len(state)), uint64(read))
	return append(value, state...)
}

// write stores a record and then takes it over.
func (s *states) write(ctx context.Context, value []byte, key ...string) error {
	r, err := s.produce(ctx, value, strings.Join(key, blank))
	if err != nil {
		return err
	}
	return s.take(r)
}

// produce stores a record.
func (s *states) produce(ctx context.Context, value []byte, key string) (*kgo.Record, error) {
	ctx, cancel := s.log.bounded(ctx)
	defer cancel()
	done := make(chan error, 1)
	r := &kgo.Record{Topic: s.topic, Key: []byte(key), Value: value, Timestamp: s.log.options.Now(), Headers: s.by()}
	s.log.client.TryProduce(s.log.ctx, r, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		if err != nil && s.log.ctx.Err() != nil {
			err = s.log.ended()
		}
		return r, err
	case <-ctx.Done():
		return nil, fmt.Errorf("Kafka has not confirmed it: %w", ctx.Err())
	}
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

// forgetReader drops a reader, and with the last of its partitions the name of its group.
func (s *states) forgetReader(ctx context.Context, name readerName) error {
	s.mu.Lock()
	_, has := s.readers[name]
	s.mu.Unlock()
	if !has {
		return nil
	}
	if err := s.write(ctx, nil, kindReader, string(name.stream), string(name.reader)); err != nil {
		return err
	}
	base, _ := partition.Of(name.reader)
	s.mu.Lock()
	_, has = s.groups[base]
	for other := range s.readers {
		if of, _ := partition.Of(other.reader); of == base {
			has = false
		}
	}
	s.mu.Unlock()
	if !has {
		return nil
	}
	return s.write(ctx, nil, kindGroup, string(base))
}

// made reports whether a topic is known to have been made for one of the streams.
func (s *states) made(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kept := range s.allStreams {
		if kept.Topic == topic && kept.Made {
			return true
		}
	}
	return false
}

// keepGroup keeps which consumer group shows a reader, so that it can be dropped by who finds the reader's state.
func (s *states) keepGroup(ctx context.Context, reader model.ReaderID, group string) error {
	base, _ := partition.Of(reader)
	s.mu.Lock()
	had := s.groups[base]
	s.mu.Unlock()
	if group == "" || had == group {
		return nil
	}
	return s.write(ctx, []byte(group), kindGroup, string(base))
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
	if err := l.states.write(ctx, readerValue(read, state), kindReader, string(canonical), string(reader)); err != nil {
		return fmt.Errorf("state of reader %s of stream %s: %w", reader, id, l.explain(err))
	}
	if err := l.states.keepGroup(ctx, reader, l.groups.read(reader, p, read)); err != nil {
		l.options.Logger.Warn("the name of a consumer group is not kept, tried again", "reader", reader, "error", err)
	}
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
