package log

import (
	"context"
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/model"
)

// Position is a record's place in its stream. The first is 1; positions only grow, and gaps may appear.
type Position uint64

// Record is an event as it was stored.
type Record struct {
	Position Position
	// Stored is when the log took it.
	Stored time.Time
	// Event is shared between all who read it: it is not to be changed.
	Event *event.Event
}

// The reasons why an event is not stored.
var (
	// ErrUnknown: there is no such stream.
	ErrUnknown = errors.New("no such stream")
	// ErrFull: the stream has as much unread as it may.
	ErrFull = errors.New("the stream is full")
	// ErrTooLarge: the event is larger than the stream takes.
	ErrTooLarge = errors.New("the event is too large")
	// ErrInvalid: the event is none, or has been through brokers too often; trying again does not help.
	ErrInvalid = errors.New("the event is not valid")
	// ErrUnavailable: the log cannot store or read at present; trying again later may help. What an Append that fails with it was about to
	// store may have been stored all the same.
	ErrUnavailable = errors.New("the log is not available")
)

// Log is durable streams of events. All methods may be called at the same time.
type Log interface {
	// Ensure makes a stream, or changes its limits.
	Ensure(ctx context.Context, stream model.Stream) error
	// Remove drops a stream, its readers and everything in it.
	Remove(ctx context.Context, stream model.StreamID) error
	// Append stores events of one stream and returns when all are stored, with their positions in the order given. An event that the stream
	// has already, by its source and id within the window for duplicates, keeps the position it has.
	// The events may be changed again once it returned; all are stored or none, if one is too large or the stream is full.
	Append(ctx context.Context, stream model.StreamID, events ...*event.Event) ([]Position, error)
	// Follow calls f with every record from a position on, in order, and then with what is appended, until the context ends or f returns an
	// error, which it returns. From 0, or from a position that is not kept any more, it begins with the oldest that is kept. A stream that is
	// removed meanwhile ends it with ErrUnknown.
	Follow(ctx context.Context, stream model.StreamID, from Position, f func(Record) error) error
	// Get reads single records; what is not kept any more is left out.
	Get(ctx context.Context, stream model.StreamID, positions ...Position) ([]Record, error)
	// At is the position of the first record stored at a time or later; the next one to come if there is none.
	At(ctx context.Context, stream model.StreamID, since time.Time) (Position, error)
	// Bounds are the oldest position that is kept and the next one to come.
	Bounds(ctx context.Context, stream model.StreamID) (oldest, next Position, err error)

	// Keep stores a reader's state, replacing what was kept, and returns when it is stored as events are. read is the position up to which,
	// itself included, the reader needs nothing any more. A reader holds back from its first Keep on.
	Keep(ctx context.Context, stream model.StreamID, reader model.ReaderID, read Position, state []byte) error
	// Kept returns what was kept last; nil without an error when nothing was.
	Kept(ctx context.Context, stream model.StreamID, reader model.ReaderID) ([]byte, error)
	// Forget drops a reader: it does not hold back anything any more.
	Forget(ctx context.Context, stream model.StreamID, reader model.ReaderID) error
}
