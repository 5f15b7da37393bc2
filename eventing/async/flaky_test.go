package async

import (
	"context"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
)

// flaky is a log whose appends fail while it is told so.
type flaky struct {
	memory.Log
	mu  sync.Mutex
	err error
}

func (f *flaky) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *flaky) Append(ctx context.Context, s model.StreamID, events ...*event.Event) ([]log.Position, error) {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.Log.Append(ctx, s, events...)
}
