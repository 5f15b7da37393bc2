package handed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ebb.dev/ebb/eventing/model"
)

// plane writes down what it is asked, and fails if it is told to.
type plane struct {
	calls []string
	err   error
	// set is the reader that was set last.
	set model.Reader
}

func (p *plane) did(format string, args ...any) error {
	p.calls = append(p.calls, fmt.Sprintf(format, args...))
	return p.err
}

func (p *plane) EnsureStream(_ context.Context, s model.Stream) error {
	return p.did("ensure %s", s.ID)
}

func (p *plane) RemoveStream(_ context.Context, id model.StreamID) error {
	return p.did("remove %s", id)
}

func (p *plane) SetReader(_ context.Context, r model.Reader) error {
	p.set = r
	return p.did("set %s", r.ID)
}

func (p *plane) RemoveReader(_ context.Context, s model.StreamID, id model.ReaderID) error {
	return p.did("end %s of %s", id, s)
}

var (
	orders  = model.Key{Namespace: "shop", Name: "orders"}
	errFull = errors.New("disk full")
)

func brokers(id model.StreamID) model.Stream {
	return model.Stream{ID: id, Kind: model.Broker, Key: orders}
}

func triggers(id model.ReaderID, of model.StreamID) *model.Reader {
	return &model.Reader{ID: id, Kind: model.Trigger, Key: orders, Stream: of}
}

func TestWhatWasHandedOverIsTakenBack(t *testing.T) {
	tests := []struct {
		name string
		do   func(*Memory) error
		want []string
	}{
		{"an object that is gone", func(m *Memory) error {
			return errors.Join(m.EnsureStream(t.Context(), brokers("b1")), m.DropStream(t.Context(), model.Broker, orders, ""))
		}, []string{"ensure b1", "remove b1"}},
		{"an object that was made again", func(m *Memory) error {
			return errors.Join(m.EnsureStream(t.Context(), brokers("b1")), m.DropStream(t.Context(), model.Broker, orders, "b2"), m.EnsureStream(t.Context(), brokers("b2")))
		}, []string{"ensure b1", "remove b1", "ensure b2"}},
		{"not an object that is the same", func(m *Memory) error {
			return errors.Join(m.EnsureStream(t.Context(), brokers("b1")), m.DropStream(t.Context(), model.Broker, orders, "b1"), m.EnsureStream(t.Context(), brokers("b1")))
		}, []string{"ensure b1", "ensure b1"}},
		{"not one of another kind", func(m *Memory) error {
			return errors.Join(m.EnsureStream(t.Context(), brokers("b1")), m.DropStream(t.Context(), model.Channel, orders, ""))
		}, []string{"ensure b1"}},
		{"only once", func(m *Memory) error {
			return errors.Join(m.EnsureStream(t.Context(), brokers("b1")), m.DropStream(t.Context(), model.Broker, orders, ""), m.DropStream(t.Context(), model.Broker, orders, ""))
		}, []string{"ensure b1", "remove b1"}},
		{"a reader that is gone", func(m *Memory) error {
			return errors.Join(m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b1")), m.DropReader(t.Context(), model.Trigger, orders))
		}, []string{"set t1", "end t1 of b1"}},
		{"a reader that is not to be any more", func(m *Memory) error {
			return errors.Join(m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b1")), m.SetReader(t.Context(), model.Trigger, orders, nil))
		}, []string{"set t1", "end t1 of b1"}},
		{"a reader of another stream", func(m *Memory) error {
			return errors.Join(m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b1")), m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b2")))
		}, []string{"set t1", "end t1 of b1", "set t1"}},
		{"not a reader that only changed", func(m *Memory) error {
			return errors.Join(m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b1")), m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b1")))
		}, []string{"set t1", "set t1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &plane{}
			if err := tt.do(New(p)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(p.calls, tt.want) {
				t.Errorf("%q, want %q", p.calls, tt.want)
			}
		})
	}
}

func TestWhatCouldNotBeTakenBackIsNotForgotten(t *testing.T) {
	p := &plane{}
	m := New(p)
	if err := errors.Join(m.EnsureStream(t.Context(), brokers("b1")), m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b1"))); err != nil {
		t.Fatal(err)
	}
	p.err, p.calls = errFull, nil
	for _, err := range []error{
		m.DropStream(t.Context(), model.Broker, orders, "b2"),
		m.SetReader(t.Context(), model.Trigger, orders, triggers("t2", "b1")),
	} {
		if !errors.Is(err, errFull) || !strings.Contains(err.Error(), "shop/orders") {
			t.Errorf("error %v", err)
		}
	}
	p.err = nil
	if err := errors.Join(m.DropStream(t.Context(), model.Broker, orders, ""), m.DropReader(t.Context(), model.Trigger, orders)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"remove b1", "end t1 of b1", "remove b1", "end t1 of b1"}; !slices.Equal(p.calls, want) {
		t.Errorf("%q, want %q", p.calls, want)
	}
}

// The object of a reader that could not be started says that it does not read; that it had is not forgotten by that.
func TestAReaderThatHadBegunHasStillWhenItCouldNotBeStarted(t *testing.T) {
	p := &plane{err: errFull}
	m := New(p)
	begun := triggers("t1", "b1")
	begun.Begun = true
	if err := m.SetReader(t.Context(), model.Trigger, orders, begun); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	p.err = nil
	for i, want := range []bool{true, false} {
		if err := m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b1")); err != nil || p.set.Begun != want {
			t.Errorf("try %d: begun %v, want %v (%v)", i, p.set.Begun, want, err)
		}
	}
	p.err = errFull
	_ = m.SetReader(t.Context(), model.Trigger, orders, begun)
	p.err = nil
	if err := m.SetReader(t.Context(), model.Trigger, orders, triggers("t2", "b1")); err != nil || p.set.Begun {
		t.Errorf("another one of the name has not: %v (%v)", p.set.Begun, err)
	}
}

func TestWhatWasNotTakenIsNotTakenBack(t *testing.T) {
	p := &plane{err: errFull}
	m := New(p)
	if err := m.EnsureStream(t.Context(), brokers("b1")); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	if err := m.SetReader(t.Context(), model.Trigger, orders, triggers("t1", "b1")); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	if err := errors.Join(m.DropStream(t.Context(), model.Broker, orders, ""), m.DropReader(t.Context(), model.Trigger, orders)); err != nil {
		t.Error(err)
	}
	if want := []string{"ensure b1", "set t1"}; !slices.Equal(p.calls, want) {
		t.Errorf("%q, want %q", p.calls, want)
	}
}
