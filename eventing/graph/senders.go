package graph

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ebb.dev/ebb/eventing/model"
)

const (
	// sendersMost is how many senders are told apart; a sender is a source that sends to one stream.
	sendersMost = 1000
	// sourceBytes is as much of a source as is kept.
	sourceBytes = 256
	// idleAfter is how long a sender has sent nothing when another one may have its place.
	idleAfter = time.Hour
	// sweepEvery is how often it is looked for one whose place is free.
	sweepEvery = time.Minute
)

// Others is the source that stands for all that are not told apart.
const Others = ""

// Senders count who sends where. The zero value has none. Its methods may be called at the same time.
type Senders struct {
	known sync.Map // of sender to *count

	mu    sync.Mutex
	n     int
	swept time.Time
}

type sender struct {
	stream model.StreamID
	source string
}

type count struct {
	events atomic.Uint64
	// last is in nanoseconds since 1970.
	last atomic.Int64
}

// Sent is what one sender sent.
type Sent struct {
	Stream model.StreamID
	Source string
	Events uint64
	Last   time.Time
}

// Sent counts an event that a stream has taken from a source.
func (s *Senders) Sent(stream model.StreamID, source string, at time.Time) {
	source = cut(source)
	value, ok := s.known.Load(sender{stream, source})
	if !ok {
		value = s.meet(sender{stream, strings.Clone(source)}, at)
	}
	c := value.(*count)
	c.events.Add(1)
	c.last.Store(at.UnixNano())
}

// cut is as much of a source as is kept; an empty one is no sender's own.
func cut(source string) string {
	if len(source) <= sourceBytes {
		return source
	}
	return strings.ToValidUTF8(source[:sourceBytes], "") + "…"
}

// meet makes room for a sender, or takes it for one of the others.
func (s *Senders) meet(who sender, at time.Time) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, ok := s.known.Load(who); ok {
		return value
	}
	if s.n >= sendersMost && at.Sub(s.swept) >= sweepEvery {
		s.swept = at
		s.drop(func(_ sender, c *count) bool { return at.Sub(time.Unix(0, c.last.Load())) >= idleAfter })
	}
	if s.n >= sendersMost && who.source != Others {
		// One for each stream besides the bound; streams go with their objects.
		value, _ := s.known.LoadOrStore(sender{who.stream, Others}, &count{})
		return value
	}
	c := &count{}
	// One that has never sent would be the first to be dropped.
	c.last.Store(at.UnixNano())
	s.known.Store(who, c)
	if who.source != Others {
		s.n++
	}
	return c
}

// drop takes senders away; what they sent counts for the others from then on. s.mu is held.
func (s *Senders) drop(which func(sender, *count) bool) {
	s.known.Range(func(key, value any) bool {
		who, c := key.(sender), value.(*count)
		if who.source == Others || !which(who, c) {
			return true
		}
		s.known.Delete(who)
		s.n--
		rest, _ := s.known.LoadOrStore(sender{who.stream, Others}, &count{})
		others := rest.(*count)
		others.events.Add(c.events.Load())
		if last := c.last.Load(); last > others.last.Load() {
			others.last.Store(last)
		}
		return true
	})
}

// Forget drops all senders of a stream that is gone.
func (s *Senders) Forget(stream model.StreamID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Range(func(key, _ any) bool {
		if who := key.(sender); who.stream == stream {
			s.known.Delete(who)
			if who.source != Others {
				s.n--
			}
		}
		return true
	})
}

// All is what all senders sent, by stream and source.
func (s *Senders) All() []Sent {
	var out []Sent
	s.known.Range(func(key, value any) bool {
		who, c := key.(sender), value.(*count)
		out = append(out, Sent{Stream: who.stream, Source: who.source, Events: c.events.Load(), Last: time.Unix(0, c.last.Load()).UTC()})
		return true
	})
	slices.SortFunc(out, func(a, b Sent) int { return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Source, b.Source)) })
	return out
}
