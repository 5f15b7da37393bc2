package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/background"
)

// bearer is a sender that has a token after some attempts.
type bearer struct {
	without int32
	tried   atomic.Int32
	as      atomic.Value
}

func (b *bearer) Send(_ context.Context, r send.Request) send.Answer {
	b.as.Store(r.As)
	if b.tried.Add(1) <= b.without {
		return send.Answer{Err: errors.New("no token"), Text: "no answer: no token", Again: time.Millisecond}
	}
	return send.Answer{Status: http.StatusAccepted}
}

func TestAnAttemptWithoutAProofIsNotCounted(t *testing.T) {
	m := newMemory(time.Now, broker)
	b := &bearer{without: 2}
	reader := trigger("bearer", "http://guarded")
	reader.Delivery.Retry = 0
	reader.As = model.Account{Key: model.Key{Namespace: "default", Name: "bearer"}, UID: "1"}
	d := New(Options{Log: m, Sender: b, KeepEvery: time.Millisecond})
	if err := d.Set(t.Context(), []model.Reader{reader}); err != nil {
		t.Fatal(err)
	}
	background.Run(t, d.Run)
	publish(t, m, "1")
	eventually(t, "the event is delivered", func() bool { return d.Snapshot()[0].Delivered == 1 })
	s := d.Snapshot()[0]
	if s.Retried != 0 || s.DeadKept != 0 || b.tried.Load() != 3 || s.FailedText != "no answer: no token" {
		t.Errorf("%+v", s)
	}
	if as := b.as.Load(); as != reader.As {
		t.Errorf("sent as %v", as)
	}
}

func TestAReplyGoesBackOnlyIfTheReaderMaySendIt(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, replying)
	reader := trigger("stranger", s.URL)
	reader.Delivery.Retry, reader.Delivery.Delay = 5, time.Millisecond
	var asked atomic.Int32
	r := run(t, Options{Log: m, MayReply: func(_ context.Context, spec model.Reader, reply *event.Event) error {
		if spec.ID != reader.ID || reply.ID() != "reply-1" {
			t.Errorf("%s, %s", spec.ID, reply.ID())
		}
		if asked.Add(1) == 1 {
			return errors.New("it is not known yet")
		}
		return fmt.Errorf("%w: nobody names it", ErrMayNot)
	}}, reader)
	publish(t, m, "1")
	eventually(t, "the event is given up", func() bool { return r.look(reader.ID).DeadKept == 1 })
	dead := m.stored(DeadStream(reader.ID))
	if asked.Load() != 2 || len(dead) != 1 || dead[0].Extensions()[extension.ErrorCode] != int32(http.StatusForbidden) || len(m.stored(broker)) != 1 {
		t.Errorf("asked %d times, dead %v, stored %d", asked.Load(), dead, len(m.stored(broker)))
	}
}
