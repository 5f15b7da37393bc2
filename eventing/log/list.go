package log

import (
	"context"

	"ebb.dev/ebb/eventing/model"
)

// Lister is a Log that can say what it keeps, so that what nobody asks for any more can be found.
type Lister interface {
	// Streams are all streams there are, in no order.
	Streams(ctx context.Context) ([]model.StreamID, error)
	// Readers are all that keep a state of a stream, in no order; of one that is not there, none.
	Readers(ctx context.Context, stream model.StreamID) ([]model.ReaderID, error)
}
