package jetstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// How much of the readers' journal may be out of date before it is cleaned, in bytes, and how many pages are cleaned with one
// commit.
const (
	journalSlack = 1 << 20
	cleanPages   = 4
)

// readers keeps the states of all readers in one JetStream stream, a journal: what is asked for at the same time is one message. In memory
// is only where a state lies. What is still valid in the oldest messages is written again with the next commit, and the messages are
// dropped, so that the journal stays a small multiple of what is valid.
type readers struct {
	store         *store
	name, subject string
	group         group[*entry]
	// loaded is false before the journal was read, and after a commit of which nobody knows what became of it; sure is
	// whether a commit succeeded since. Only commits use them.
	loaded, sure bool

	mu sync.Mutex
	journal
}

// journal is what the messages add up to.
type journal struct {
	first, last uint64
	// sizes has how many bytes each message has; total is their sum, valid that of the states that count.
	sizes        map[uint64]int
	total, valid int
	streams      map[model.StreamID]*readersOf
}

// readersOf are the readers of one stream.
type readersOf struct {
	kept map[model.ReaderID]place
	// slowest is the least read; it is looked for again when the reader that had it moves.
	slowest log.Position
	stale   bool
}

// place is where a state lies.
type place struct {
	read log.Position
	seq  uint64
	size int
}

// The kinds of entries.
const (
	entryKeep = iota
	entryForget
	entryForgetAll
)

// entry is one change in the journal.
type entry struct {
	kind   byte
	stream model.StreamID
	reader model.ReaderID
	read   log.Position
	state  []byte
}

func newReaders(s *store, name, subject string) *readers {
	r := &readers{store: s, name: name, subject: subject}
	r.group = group[*entry]{commit: r.commit, limit: commitBytes}
	return r
}

func encodeEntries(entries []*entry) []byte {
	b := []byte{formatVersion}
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for _, e := range entries {
		b = append(b, e.kind)
		b = appendString(b, string(e.stream))
		b = appendString(b, string(e.reader))
		b = binary.AppendUvarint(b, uint64(e.read))
		b = binary.AppendUvarint(b, uint64(len(e.state)))
		b = append(b, e.state...)
	}
	return b
}

func decodeEntries(b []byte) ([]*entry, error) {
	d := &decoder{b: b}
	if d.byte() != formatVersion {
		return nil, errCorrupt
	}
	var out []*entry
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		e := &entry{kind: d.byte(), stream: model.StreamID(d.string()), reader: model.ReaderID(d.string())}
		e.read, e.state = log.Position(d.uvarint()), d.bytes()
		out = append(out, e)
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	return out, d.err
}

func (e *entry) size() int { return len(e.stream) + len(e.reader) + len(e.state) + 16 }

// change stores one change.
func (r *readers) change(ctx context.Context, e *entry) error {
	return r.group.do(ctx, e, e.size())
}

func (r *readers) commit(requests []*request[*entry]) {
	ctx, cancel := context.WithTimeout(context.Background(), r.store.timeout)
	defer cancel()
	err := errConflict
	for try := 0; errors.Is(err, errConflict) && try < conflicts; try++ {
		err = r.try(ctx, requests)
	}
	if errors.Is(err, errConflict) {
		err = fmt.Errorf("%w: %w", log.ErrUnavailable, err)
	}
	for _, request := range requests {
		request.err = err
	}
}

func (r *readers) try(ctx context.Context, requests []*request[*entry]) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	entries, cleaned, err := r.clean(ctx)
	if err != nil {
		return err
	}
	for _, request := range requests {
		entries = append(entries, request.value)
	}
	data := encodeEntries(entries)
	seq, err := r.store.publish(r.subject, r.last, r.sure, data)
	if err != nil {
		r.loaded, r.sure = false, false
		return err
	}
	r.sure = true
	r.mu.Lock()
	r.apply(seq, len(data), entries)
	r.mu.Unlock()
	if cleaned == 0 {
		return nil
	}
	// What cannot be dropped now is out of date already, and will be with the next cleaning.
	if r.store.purge(ctx, r.name, cleaned+1) == nil {
		r.mu.Lock()
		r.forgetUpTo(cleaned)
		r.mu.Unlock()
	}
	return nil
}

// load reads the journal, unless it is known. Until it is read whole, what was known before stays: readers must not seem to be gone.
func (r *readers) load(ctx context.Context) error {
	if r.loaded {
		return nil
	}
	first, last, err := r.store.state(ctx, r.name)
	if err != nil {
		return err
	}
	j := journal{first: max(first, 1), last: last, sizes: make(map[uint64]int), streams: make(map[model.StreamID]*readersOf)}
	for seq := j.first; seq <= last; {
		n, err := r.store.page(ctx, r.name, seq, func(m message) error {
			entries, err := decodeEntries(m.data)
			if err != nil {
				return fmt.Errorf("message %d of %s: %w", m.seq, r.name, err)
			}
			j.apply(m.seq, len(m.data), entries)
			seq = m.seq + 1
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: %s: message %d cannot be read yet", log.ErrUnavailable, r.name, seq)
		}
	}
	r.mu.Lock()
	r.journal = j
	r.mu.Unlock()
	r.loaded = true
	return nil
}

// apply makes a stored message known.
func (j *journal) apply(seq uint64, size int, entries []*entry) {
	j.last = seq
	j.total += size
	j.sizes[seq] = size
	for _, e := range entries {
		switch e.kind {
		case entryKeep:
			j.put(e, seq)
		case entryForget:
			j.delete(e.stream, e.reader)
		case entryForgetAll:
			if of := j.streams[e.stream]; of != nil {
				for reader := range of.kept {
					j.delete(e.stream, reader)
				}
			}
		}
	}
}

func (j *journal) put(e *entry, seq uint64) {
	of := j.streams[e.stream]
	if of == nil {
		of = &readersOf{kept: make(map[model.ReaderID]place), slowest: e.read}
		j.streams[e.stream] = of
	}
	old, had := of.kept[e.reader]
	j.valid += e.size() - old.size
	of.kept[e.reader] = place{read: e.read, seq: seq, size: e.size()}
	switch {
	case e.read <= of.slowest:
		of.slowest = e.read
	case had && old.read == of.slowest:
		of.stale = true
	}
}

func (j *journal) delete(stream model.StreamID, reader model.ReaderID) {
	of := j.streams[stream]
	if of == nil {
		return
	}
	j.valid -= of.kept[reader].size
	delete(of.kept, reader)
	of.stale = true
	if len(of.kept) == 0 {
		delete(j.streams, stream)
	}
}

// known are the streams that have readers.
func (r *readers) known() []model.StreamID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.streams))
}

// slowest is the position up to which all readers of a stream have read; false if there is none.
func (r *readers) slowest(stream model.StreamID) (log.Position, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.streams[stream]
	if of == nil {
		return 0, false
	}
	if of.stale {
		first := true
		for _, p := range of.kept {
			if first || p.read < of.slowest {
				of.slowest, first = p.read, false
			}
		}
		of.stale = false
	}
	return of.slowest, true
}

// furthest is the position up to which any reader of a stream has read; 0 if there is none.
func (r *readers) furthest(stream model.StreamID) log.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	furthest := log.Position(0)
	if of := r.streams[stream]; of != nil {
		for _, p := range of.kept {
			furthest = max(furthest, p.read)
		}
	}
	return furthest
}

// clean returns what is valid in the oldest messages, to be written again, and the last of these messages; nothing while little is out of
// date.
func (r *readers) clean(ctx context.Context) (entries []*entry, cleaned uint64, err error) {
	excess := r.excess()
	if excess <= 0 {
		return nil, 0, nil
	}
	moved, at := 0, r.first
	enough := errors.New("enough is cleaned")
	for range cleanPages {
		_, err := r.store.page(ctx, r.name, at, func(m message) error {
			if m.seq >= r.last || moved > commitBytes || excess < -journalSlack/2 {
				return enough
			}
			old, err := decodeEntries(m.data)
			if err != nil {
				return fmt.Errorf("message %d of %s: %w", m.seq, r.name, err)
			}
			for _, e := range r.stillValid(m.seq, old) {
				entries = append(entries, e)
				moved += e.size()
			}
			excess -= len(m.data)
			cleaned, at = m.seq, m.seq+1
			return nil
		})
		if errors.Is(err, enough) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return entries, cleaned, nil
}

// excess is by how many bytes the journal is larger than it should be.
func (r *readers) excess() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total - journalSlack - 2*r.valid
}

// stillValid picks the states that no later message replaces, and no later entry of the same one.
func (r *readers) stillValid(seq uint64, entries []*entry) []*entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	type key struct {
		stream model.StreamID
		reader model.ReaderID
	}
	last := make(map[key]*entry)
	for _, e := range entries {
		if of := r.streams[e.stream]; e.kind == entryKeep && of != nil && of.kept[e.reader].seq == seq {
			last[key{e.stream, e.reader}] = e
		}
	}
	out := make([]*entry, 0, len(last))
	for _, e := range last {
		out = append(out, e)
	}
	return out
}

// lastOf is where a message has a reader's last state.
func lastOf(entries []*entry, stream model.StreamID, reader model.ReaderID) int {
	for i := len(entries) - 1; i >= 0; i-- {
		if e := entries[i]; e.kind == entryKeep && e.stream == stream && e.reader == reader {
			return i
		}
	}
	return -1
}

func (j *journal) forgetUpTo(seq uint64) {
	for ; j.first <= seq; j.first++ {
		j.total -= j.sizes[j.first]
		delete(j.sizes, j.first)
	}
}

// kept reads a reader's state.
func (r *readers) kept(ctx context.Context, stream model.StreamID, reader model.ReaderID) ([]byte, error) {
	for try := 0; ; try++ {
		at, ok := r.place(stream, reader)
		if !ok {
			return nil, nil
		}
		m, err := r.store.get(ctx, r.name, at.seq)
		if errors.Is(err, errGone) && try < conflicts {
			// It was written again meanwhile.
			continue
		}
		if err != nil {
			return nil, err
		}
		entries, err := decodeEntries(m.data)
		if err != nil {
			return nil, fmt.Errorf("message %d of %s: %w", at.seq, r.name, err)
		}
		if i := lastOf(entries, stream, reader); i >= 0 {
			return append([]byte{}, entries[i].state...), nil
		}
		return nil, fmt.Errorf("message %d of %s: %w", at.seq, r.name, errCorrupt)
	}
}

func (r *readers) place(stream model.StreamID, reader model.ReaderID) (place, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.streams[stream]
	if of == nil {
		return place{}, false
	}
	at, ok := of.kept[reader]
	return at, ok
}
