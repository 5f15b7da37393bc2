package requestreply

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// retryRead is how long a stream is left alone that could not be read.
const retryRead = time.Second

// board is where the requests of one Broker wait while its stream is read for them.
type board struct {
	w      *Waiting
	stream model.StreamID
	ctx    context.Context
	cancel context.CancelFunc
	// users are how many wait, used says that somebody has begun to since w.idle looked; both are guarded by w.mu.
	users int
	used  bool

	// opening is held while parts of the stream are begun to be read.
	opening sync.Mutex

	mu sync.Mutex
	// next is where each part is read on: all before it has been looked at.
	next map[model.StreamID]log.Position
	// replies are the requests by what their replies carry, attributes how many wait for each attribute, asked the requests by the names of
	// their events.
	replies    map[carried][]*Request
	attributes map[string]int
	asked      map[named][]*Request
}

// carried is a correlation id in an attribute.
type carried struct{ attribute, correlation string }

// named is what tells events apart.
type named struct{ source, id string }

func newBoard(w *Waiting, stream model.StreamID) *board {
	b := &board{
		w: w, stream: stream, next: map[model.StreamID]log.Position{},
		replies: map[carried][]*Request{}, attributes: map[string]int{}, asked: map[named][]*Request{},
	}
	b.ctx, b.cancel = context.WithCancel(w.ctx)
	return b
}

// open has all parts of the stream read, from where the next record will be.
func (b *board) open(ctx context.Context) error {
	b.opening.Lock()
	defer b.opening.Unlock()
	parts, err := b.w.parts(b.stream)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if b.reads(part) {
			continue
		}
		_, next, err := b.w.Log.Bounds(ctx, part)
		if err != nil {
			return err
		}
		b.begin(part, max(next, 1))
	}
	return nil
}

func (b *board) reads(part model.StreamID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, has := b.next[part]
	return has
}

func (b *board) begin(part model.StreamID, next log.Position) {
	b.mu.Lock()
	b.next[part] = next
	b.mu.Unlock()
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if b.ctx.Err() == nil {
		b.w.readers.Go(func() { b.follow(part, next) })
	}
}

// linger looks from time to time whether the stream is read for anybody.
func (b *board) linger() {
	for {
		select {
		case <-b.w.Clock.After(b.w.Linger):
			b.w.idle(b)
		case <-b.ctx.Done():
			return
		}
	}
}

// follow reads a part until nobody waits any more.
func (b *board) follow(part model.StreamID, next log.Position) {
	for {
		err := b.w.Log.Follow(b.ctx, part, next, func(r log.Record) error {
			b.pass(part, r)
			next = r.Position + 1
			return nil
		})
		switch {
		case b.ctx.Err() != nil:
			return
		case errors.Is(err, log.ErrUnknown):
			b.end(ErrGone)
			return
		}
		b.w.Logger.Warn("replies cannot be read, tried again", "stream", part, "in", retryRead, "error", err)
		select {
		case <-b.w.Clock.After(retryRead):
		case <-b.ctx.Done():
			return
		}
	}
}

// end is that of the stream: all that wait are told, and later requests find another board.
func (b *board) end(why error) {
	b.w.mu.Lock()
	if b.w.boards[b.stream] == b {
		delete(b.w.boards, b.stream)
	}
	b.w.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, requests := range b.asked {
		for _, q := range requests {
			q.settle(outcome{err: why})
		}
	}
	b.cancel()
}

// add has a request wait.
func (b *board) add(q *Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := named{q.subject.Source, q.subject.ID}
	b.asked[name] = append(b.asked[name], q)
	b.attributes[q.terms.Reply]++
	b.expect(q, q.Correlation)
	switch {
	case b.w.ctx.Err() != nil:
		q.settle(outcome{err: ErrEnding})
	case b.ctx.Err() != nil:
		q.settle(outcome{err: ErrGone})
	}
}

// expect has a request wait for a reply with a correlation id. b.mu is held.
func (b *board) expect(q *Request, correlation string) {
	q.answers = append(q.answers, correlation)
	at := carried{q.terms.Reply, correlation}
	b.replies[at] = append(b.replies[at], q)
}

// mark notes how far the stream has been read.
func (b *board) mark(q *Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.seen = make(map[model.StreamID]log.Position, len(b.next))
	for part, next := range b.next {
		q.seen[part] = next
	}
}

// drop has a request wait no longer.
func (b *board) drop(q *Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(q.answers) == 0 {
		return
	}
	without(b.asked, named{q.subject.Source, q.subject.ID}, q)
	if b.attributes[q.terms.Reply]--; b.attributes[q.terms.Reply] == 0 {
		delete(b.attributes, q.terms.Reply)
	}
	for _, correlation := range q.answers {
		without(b.replies, carried{q.terms.Reply, correlation}, q)
	}
	q.answers = nil
}

func without[K comparable](of map[K][]*Request, key K, q *Request) {
	if rest := slices.DeleteFunc(of[key], func(other *Request) bool { return other == q }); len(rest) > 0 {
		of[key] = rest
	} else {
		delete(of, key)
	}
}

// pass looks at the next record of a part.
func (b *board) pass(part model.StreamID, r log.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next[part] = r.Position + 1
	for _, q := range b.asked[named{r.Event.Source(), r.Event.ID()}] {
		b.recognized(q, r.Event)
	}
	for attribute := range b.attributes {
		correlation, has := extension.Text(r.Event, attribute)
		if !has {
			continue
		}
		for _, q := range b.replies[carried{attribute, correlation}] {
			q.settle(outcome{reply: r.Event})
		}
	}
}

// recognize looks at the event of a request as it is stored, and says how far each part had been read without knowing what it shows.
func (b *board) recognize(q *Request, e *event.Event) map[model.StreamID]log.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recognized(q, e)
	return maps.Clone(b.next)
}

// recognized takes over the correlation id that the event of a request is stored with, if it was stored before. b.mu is held.
func (b *board) recognized(q *Request, e *event.Event) {
	if q.found || len(q.answers) == 0 {
		return
	}
	q.found = true
	switch correlation, has := extension.Text(e, q.terms.Correlation); {
	case has && correlation == q.Correlation:
	case has && slices.ContainsFunc(q.keys, func(key []byte) bool { return signed(key, q.subject, correlation) }):
		b.expect(q, correlation)
	default:
		q.settle(outcome{err: ErrTaken})
	}
}

// look looks at one record for one request.
func (b *board) look(q *Request, e *event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if correlation, has := extension.Text(e, q.terms.Reply); has && slices.Contains(q.answers, correlation) {
		q.settle(outcome{reply: e})
	}
}
