package partition

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// fake is a dispatcher that keeps a new reader's place as it begins, and the log that it is kept in.
type fake struct {
	parts     int32
	readers   map[model.ReaderID]model.Reader
	kept      map[model.ReaderID]bool
	committed log.Position
	group     string
	// fails is a reader that cannot be started.
	fails model.ReaderID
}

func (f *fake) Upsert(_ context.Context, r model.Reader) error {
	if r.ID == f.fails {
		return fmt.Errorf("no room for %s", r.ID)
	}
	if !f.kept[r.ID] {
		f.readers[r.ID] = r
	}
	f.kept[r.ID] = true
	return nil
}

func (f *fake) Remove(_ context.Context, id model.ReaderID) error {
	delete(f.readers, id)
	delete(f.kept, id)
	return nil
}

func (f *fake) Partitions(id model.StreamID) ([]model.StreamID, error) {
	var out []model.StreamID
	for n := range f.parts {
		out = append(out, Stream(id, n))
	}
	return out, nil
}

func (f *fake) Kept(_ context.Context, _ model.StreamID, id model.ReaderID) ([]byte, error) {
	if f.kept[id] {
		return []byte("state"), nil
	}
	return nil, nil
}

func (f *fake) Committed(context.Context, model.StreamID, string) (log.Position, error) {
	return f.committed, nil
}

func (f *fake) Group(_ model.StreamID, _ model.ReaderID, group string) { f.group = group }

func arrange(parts int32) (*fake, *Readers) {
	f := &fake{parts: parts, readers: map[model.ReaderID]model.Reader{}, kept: map[model.ReaderID]bool{}}
	return f, &Readers{Dispatcher: f, Log: f, Group: func(r model.Reader) string { return "group-" + r.Key.Name }}
}

var reader = model.Reader{ID: "t", Stream: "s", Key: model.Key{Name: "billing"}, Concurrency: 7, Rate: 9}

func set(t *testing.T, r *Readers, reader model.Reader) {
	t.Helper()
	if err := r.Set(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
}

func TestAReaderIsOneForEachPartition(t *testing.T) {
	f, r := arrange(3)
	set(t, r, reader)
	for n := range int32(3) {
		got := f.readers[Reader("t", n)]
		if got.Stream != Stream("s", n) || got.Concurrency != 2 || got.Rate != 3 || got.Start != (model.Start{}) {
			t.Errorf("%d: %+v", n, got)
		}
	}
	if f.group != "group-billing" {
		t.Error(f.group)
	}
	if err := r.Remove(t.Context(), "t"); err != nil || len(f.readers) != 0 {
		t.Error(f.readers, err)
	}
}

func TestAStreamOfOneOrderHasTheReaderItself(t *testing.T) {
	f, r := arrange(0)
	set(t, r, reader)
	if got := f.readers["t"]; got.Stream != "s" || got.Concurrency != 7 || f.group != "" {
		t.Errorf("%+v", got)
	}
	f.parts = 2
	set(t, r, reader)
	if _, still := f.readers["t"]; still || len(f.readers) != 2 {
		t.Errorf("its stream has partitions now: %v", f.readers)
	}
}

func TestAPartitionThatJoinsLaterIsReadFromItsBeginning(t *testing.T) {
	f, r := arrange(2)
	set(t, r, reader)
	f.parts = 3
	// After a restart nobody remembers how many there were.
	r = &Readers{Dispatcher: f, Log: f}
	set(t, r, reader)
	if got := f.readers["t#2"]; !got.Start.Earliest {
		t.Errorf("%+v", got)
	}
	if got := f.readers["t#1"]; got.Start.Earliest {
		t.Errorf("it was there: %+v", got)
	}
}

func TestAReaderThatWasStartedInPartStartsWhereItWouldHave(t *testing.T) {
	f, r := arrange(3)
	f.fails = "t#1"
	if err := r.Set(t.Context(), reader); err == nil {
		t.Fatal("started")
	}
	f.fails = ""
	set(t, r, reader)
	for id, got := range f.readers {
		if got.Start != (model.Start{}) {
			t.Errorf("%s: %+v", id, got.Start)
		}
	}
}

func TestAReaderGoesOnWhereItsConsumerGroupIs(t *testing.T) {
	f, r := arrange(1)
	f.committed = 12
	set(t, r, reader)
	if got := f.readers["t#0"]; got.Start.Position != 12 {
		t.Errorf("%+v", got)
	}
	begun := reader
	begun.ID, begun.Begun = "v", true
	set(t, r, begun)
	if got := f.readers["v#0"]; got.Start.Position != 12 || got.Begun {
		t.Errorf("it had begun in that group, and the topic has what it has read: %+v", got)
	}
	early := reader
	early.ID, early.Start = "u", model.Start{Earliest: true}
	set(t, r, early)
	if got := f.readers["u#0"]; got.Start != early.Start {
		t.Errorf("it said where it begins: %+v", got)
	}
}

func TestNamesOfPartitionsAreTakenApart(t *testing.T) {
	for _, c := range []struct {
		id, base string
		n        int32
	}{{"a#3", "a", 3}, {"a", "a", -1}, {"a#", "a#", -1}, {"a#-1", "a#-1", -1}, {"a#b#12", "a#b", 12}, {"a#99999999999", "a#99999999999", -1}} {
		if base, n := Of(model.StreamID(c.id)); string(base) != c.base || n != c.n {
			t.Errorf("%s: %s and %d", c.id, base, n)
		}
	}
	ids := []model.ReaderID{Reader("a", 0), Reader("a", 10)}
	if !slices.Equal(ids, []model.ReaderID{"a#0", "a#10"}) {
		t.Error(ids)
	}
}
