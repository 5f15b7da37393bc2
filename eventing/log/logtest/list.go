package logtest

import (
	"slices"
	"testing"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// listed tests what a log.Lister promises.
func listed(t *testing.T, l Opened) {
	lister, ok := l.Log.(log.Lister)
	if !ok {
		t.Skip("this log cannot say what it keeps: it is no log.Lister")
	}
	ctx := t.Context()
	const other = model.StreamID("Channel/default/other")
	is := func(lister log.Lister, streams []model.StreamID, readers ...model.ReaderID) {
		t.Helper()
		gotStreams, err := lister.Streams(ctx)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(gotStreams)
		if !slices.Equal(gotStreams, streams) {
			t.Errorf("streams %v, want %v", gotStreams, streams)
		}
		gotReaders, err := lister.Readers(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(gotReaders)
		if !slices.Equal(gotReaders, readers) {
			t.Errorf("readers %v, want %v", gotReaders, readers)
		}
	}
	is(lister, nil)
	ensure(t, l, model.Limits{})
	if err := l.Ensure(ctx, model.Stream{ID: other, Kind: model.Channel}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []model.ReaderID{"a", "b", "c"} {
		if err := l.Keep(ctx, stream, r, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Forget(ctx, stream, "b"); err != nil {
		t.Fatal(err)
	}
	is(lister, []model.StreamID{stream, other}, "a", "c")
	if l.Reopen != nil {
		l = l.Reopen(t)
		lister = l.Log.(log.Lister)
		is(lister, []model.StreamID{stream, other}, "a", "c")
	}
	if err := l.Remove(ctx, stream); err != nil {
		t.Fatal(err)
	}
	is(lister, []model.StreamID{other})
}
