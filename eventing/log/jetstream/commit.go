package jetstream

import (
	"encoding/binary"
	"math"
	"time"

	"ebb.dev/ebb/eventing/log"
)

// formatVersion is the first byte of every commit.
const formatVersion = 1

// headSize is the version, the first position, the offset and the time.
const headSize = 1 + 8 + 8 + 8

// commit is one message of a stream: events that were stored together. One without events only says where a stream stands.
type commit struct {
	// seq is the message's sequence in JetStream.
	seq uint64
	// first is the position of the first event; of the next one to come, if there is none.
	first log.Position
	// offset is how many bytes of events the stream had taken before.
	offset uint64
	stored time.Time
	// events are encoded.
	events [][]byte
	// keys tell the events apart, if that is known already.
	keys []log.Identity
	// size is how many bytes the events have.
	size uint64
}

// next is the position that follows the commit.
func (c *commit) next() log.Position { return c.first + log.Position(len(c.events)) }

// end is the offset that follows the commit.
func (c *commit) end() uint64 { return c.offset + c.size }

func (c *commit) encode() []byte {
	b := make([]byte, 0, headSize+binary.MaxVarintLen32*(1+len(c.events))+int(c.size))
	b = append(b, formatVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.first))
	b = binary.BigEndian.AppendUint64(b, c.offset)
	b = binary.BigEndian.AppendUint64(b, uint64(c.stored.UnixNano()))
	b = binary.AppendUvarint(b, uint64(len(c.events)))
	for _, e := range c.events {
		b = binary.AppendUvarint(b, uint64(len(e)))
		b = append(b, e...)
	}
	return b
}

// decodeCommit reads a commit; its events are parts of b.
func decodeCommit(seq uint64, b []byte) (*commit, error) {
	d := &decoder{b: b}
	if d.byte() != formatVersion {
		return nil, errCorrupt
	}
	c := &commit{seq: seq, first: log.Position(d.uint64()), offset: d.uint64()}
	c.stored = time.Unix(0, int64(d.uint64()))
	count := d.uvarint()
	if count > uint64(len(d.b)) || c.first == 0 || uint64(c.first) > math.MaxUint64-count {
		return nil, errCorrupt
	}
	c.events = make([][]byte, 0, count)
	for range count {
		e := d.bytes()
		c.events = append(c.events, e)
		c.size += uint64(len(e))
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	return c, d.err
}

// records decodes the events from a position on.
func (c *commit) records(from log.Position) ([]log.Record, error) {
	skip := 0
	if from > c.first {
		skip = int(min(from-c.first, log.Position(len(c.events))))
	}
	out := make([]log.Record, 0, len(c.events)-skip)
	for i, b := range c.events[skip:] {
		e, err := decodeEvent(b)
		if err != nil {
			return nil, err
		}
		out = append(out, log.Record{Position: c.first + log.Position(skip+i), Stored: c.stored, Event: e})
	}
	return out, nil
}
