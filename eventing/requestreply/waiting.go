package requestreply

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// The reasons why a request gets no reply.
var (
	// ErrLate: the time is over.
	ErrLate = errors.New("no reply has come in time")
	// ErrBusy: as many wait as may.
	ErrBusy = errors.New("too many requests are waiting for replies: send again later")
	// ErrDeleted: the RequestReply is gone.
	ErrDeleted = errors.New("the RequestReply was deleted")
	// ErrGone: the Broker is gone.
	ErrGone = errors.New("the Broker was deleted")
	// ErrEnding: this process ends.
	ErrEnding = errors.New("the broker is being restarted: send again")
	// ErrTaken: the Broker has the event from elsewhere.
	ErrTaken = errors.New("the Broker has an event of this source and id that was not sent here: give the event an id of its own")
)

// Log is what is asked of the log.
type Log interface {
	log.Log
	// Partitions are the streams of a stream's partitions, none for a stream that has but one order.
	Partitions(stream model.StreamID) ([]model.StreamID, error)
	// PartitionOf is the stream that an event of a stream is kept in.
	PartitionOf(stream model.StreamID, e *event.Event) (model.StreamID, error)
}

// Options say what Waiting works with. Log and Keys are needed; zero values of the others are the defaults said.
type Options struct {
	Log Log
	// Keys are the keys of correlation ids now: one at least, of which the first signs. What was stored by any of them is recognized.
	Keys func(context.Context) ([][]byte, error)
	// Each bounds the requests that wait at one RequestReply, All those at all: 1,000 and 10,000.
	Each, All int
	// Linger is for how long, up to twice of it, a stream is read on when nobody waits any more: 10 s.
	Linger time.Duration
	Clock  clock.WithDelayedExecution
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Each <= 0 {
		o.Each = 1000
	}
	if o.All <= 0 {
		o.All = 10_000
	}
	if o.Linger <= 0 {
		o.Linger = 10 * time.Second
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Waiting are the requests that wait for replies. Its methods may be called at the same time.
type Waiting struct {
	Options
	// ctx ends with it.
	ctx     context.Context
	cancel  context.CancelFunc
	readers sync.WaitGroup
	// looks bounds how many look back at once.
	looks chan struct{}

	mu       sync.Mutex
	total    int
	requests map[model.Key]map[*Request]struct{}
	boards   map[model.StreamID]*board
}

// lookers is how many requests look for replies at once in what is stored already.
const lookers = 4

// NewWaiting makes one. It is to be closed.
func NewWaiting(o Options) *Waiting {
	w := &Waiting{
		Options: o.withDefaults(), looks: make(chan struct{}, lookers),
		requests: map[model.Key]map[*Request]struct{}{}, boards: map[model.StreamID]*board{},
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Close ends all that waits, with ErrEnding.
func (w *Waiting) Close() {
	w.mu.Lock()
	w.cancel()
	w.mu.Unlock()
	w.readers.Wait()
}

// Counts are how many requests wait at which RequestReply.
func (w *Waiting) Counts() map[model.Key]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[model.Key]int, len(w.requests))
	for key, requests := range w.requests {
		out[key] = len(requests)
	}
	return out
}

// Keep ends what waits at RequestReplies of a name, unless they are the one that has it now; "" is none.
func (w *Waiting) Keep(key model.Key, now types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for q := range w.requests[key] {
		if q.terms.UID != now {
			q.settle(outcome{err: ErrDeleted})
		}
	}
}

// Reads is why replies in a stream cannot be read; nil if they can.
func (w *Waiting) Reads(ctx context.Context, stream model.StreamID) error {
	parts, err := w.parts(stream)
	if err != nil {
		return err
	}
	for _, id := range parts {
		if _, _, err := w.Log.Bounds(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// parts are the streams, each of one order, that a stream is.
func (w *Waiting) parts(stream model.StreamID) ([]model.StreamID, error) {
	parts, err := w.Log.Partitions(stream)
	if err == nil && len(parts) == 0 {
		parts = []model.StreamID{stream}
	}
	return parts, err
}

// Request is one that waits. It is to be ended.
type Request struct {
	// Correlation is the id that its event is to be stored with.
	Correlation string

	w       *Waiting
	terms   Terms
	subject subject
	keys    [][]byte
	board   *board
	// ended is closed, once, by whoever sets outcome.
	once    sync.Once
	ended   chan struct{}
	outcome outcome

	// What follows is guarded by the board's lock. found says that the event was seen as it is stored; answers are the ids that a reply may
	// bring; seen is up to where each part of the stream had been read when the request began.
	found   bool
	answers []string
	seen    map[model.StreamID]log.Position
}

// outcome is what becomes of a request.
type outcome struct {
	reply *event.Event
	err   error
}

func (q *Request) settle(o outcome) {
	q.once.Do(func() {
		q.outcome = o
		close(q.ended)
	})
}

// Begin has a request wait for the reply to an event that is about to be stored. When it returns, no reply passes it by.
func (w *Waiting) Begin(ctx context.Context, t Terms, e *event.Event) (*Request, error) {
	keys, err := w.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("sign what RequestReply %s asks: %w", t.Key, err)
	}
	q := &Request{w: w, terms: t, subject: subject{t.UID, e.Source(), e.ID()}, keys: keys, ended: make(chan struct{})}
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // it never fails
	q.Correlation = sign(keys[0], q.subject, nonce)
	if err := w.enter(q); err != nil {
		return nil, err
	}
	q.board.add(q)
	if err := q.board.open(ctx); err != nil {
		q.End()
		return nil, fmt.Errorf("read replies to RequestReply %s: %w", t.Key, err)
	}
	q.board.mark(q)
	return q, nil
}

// enter counts a request and finds its board.
func (w *Waiting) enter(q *Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := q.terms.Key
	switch {
	case w.ctx.Err() != nil:
		return ErrEnding
	case w.total >= w.All || len(w.requests[key]) >= w.Each:
		return ErrBusy
	}
	w.total++
	if w.requests[key] == nil {
		w.requests[key] = map[*Request]struct{}{}
	}
	w.requests[key][q] = struct{}{}
	b := w.boards[q.terms.Stream]
	if b == nil {
		b = newBoard(w, q.terms.Stream)
		w.boards[b.stream] = b
		w.readers.Go(b.linger)
	}
	b.users++
	b.used = true
	q.board = b
	return nil
}

// End gives up a request's place.
func (q *Request) End() {
	w, b, key := q.w, q.board, q.terms.Key
	b.drop(q)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.requests[key][q]; !there {
		return
	}
	w.total--
	delete(w.requests[key], q)
	if len(w.requests[key]) == 0 {
		delete(w.requests, key)
	}
	b.users--
}

// idle stops reading what nobody has waited for since it was last asked.
func (w *Waiting) idle(b *board) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b.users == 0 && !b.used && w.boards[b.stream] == b {
		delete(w.boards, b.stream)
		b.cancel()
	}
	b.used = false
}

// Wait returns the reply once it is there, or why there will be none; the context's cause, if that ends first.
func (q *Request) Wait(ctx context.Context) (*event.Event, error) {
	select {
	case <-q.ended:
	case <-ctx.Done():
		q.settle(outcome{err: context.Cause(ctx)})
	case <-q.w.ctx.Done():
		q.settle(outcome{err: ErrEnding})
	}
	<-q.ended
	return q.outcome.reply, q.outcome.err
}

// Stored says where the event of a request is stored. If that was done before the request began, replies are looked for from there on.
func (q *Request) Stored(ctx context.Context, e *event.Event, at log.Position) error {
	own, err := q.w.Log.PartitionOf(q.terms.Stream, e)
	if err != nil {
		return err
	}
	if at >= q.seen[own] {
		return nil
	}
	select {
	case q.w.looks <- struct{}{}:
		defer func() { <-q.w.looks }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	records, err := q.w.Log.Get(ctx, own, at)
	if err != nil {
		return fmt.Errorf("read what is stored of event %s of %s: %w", e.ID(), e.Source(), err)
	}
	if len(records) == 0 {
		// What it was given is not known any more.
		return ErrTaken
	}
	for part, end := range q.board.recognize(q, records[0].Event) {
		from := at
		if part != own {
			// Partitions have no order among them but the time.
			if from, err = q.w.Log.At(ctx, part, records[0].Stored); err != nil {
				return err
			}
		}
		if from >= end {
			continue
		}
		err := log.Scan(ctx, q.w.Log, part, from, end-1, func(r log.Record) error {
			q.board.look(q, r.Event)
			return nil
		})
		if err != nil {
			return fmt.Errorf("look for the reply to event %s of %s: %w", e.ID(), e.Source(), err)
		}
	}
	return nil
}
