package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

func TestAReplyThatTheBrokerWillNeverTakeIsNotTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code int32
	}{
		{"it is no event", log.ErrInvalid, http.StatusBadRequest},
		{"it is too large", log.ErrTooLarge, http.StatusRequestEntityTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory(time.Now, broker)
			s := subscribe(t, replying)
			reader := trigger("refused", s.URL)
			reader.Delivery.Retry, reader.Delivery.Delay = 5, time.Millisecond
			var offered atomic.Int32
			r := run(t, Options{Log: m, Accept: func(context.Context, model.StreamID, ...*event.Event) error {
				offered.Add(1)
				return fmt.Errorf("append to %s: %w", broker, c.err)
			}}, reader)
			publish(t, m, "1")
			eventually(t, "the event is given up", func() bool { return r.look(reader.ID).DeadKept == 1 })
			if n := offered.Load(); n != 1 {
				t.Errorf("the reply was offered %d times", n)
			}
			dead := m.stored(DeadStream(reader.ID))
			if len(dead) != 1 || dead[0].Extensions()[extension.ErrorCode] != c.code {
				t.Errorf("dead: %v", dead)
			}
		})
	}
}

func TestAReplyThatComesTooEarlyIsNoFailure(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, replying)
	reader := trigger("early", s.URL)
	reader.Delivery.Retry = 0
	var offered atomic.Int32
	r := run(t, Options{Log: m, Accept: func(context.Context, model.StreamID, ...*event.Event) error {
		if offered.Add(1) < 3 {
			return fmt.Errorf("stream %s: %w", broker, ErrNotYet)
		}
		return nil
	}}, reader)
	publish(t, m, "1")
	eventually(t, "the reply is taken", func() bool { return r.look(reader.ID).Replied == 1 })
	if got := r.look(reader.ID); got.DeadKept != 0 || got.Retried != 0 {
		t.Errorf("%+v", got)
	}
}
