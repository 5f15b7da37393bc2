package xds

import (
	"testing"
	"time"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/server"
)

type nowhere struct{}

func (nowhere) Report(string, time.Time, []server.Sample, []server.Flight) {}
func (nowhere) Silent(string)                                              {}

func TestWhatWasLetGoIsUnderwayUntilAReplicaHasIt(t *testing.T) {
	key := model.Key{Namespace: "default", Name: "r"}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	l := newLoads(nowhere{})
	report := func(proxy string, requests float64, at time.Time) {
		l.Report(proxy, at, []server.Sample{{Revision: key, Requests: requests}}, nil)
	}
	if !l.Underway(key).IsZero() {
		t.Error("something is under way at first")
	}
	for range 3 {
		l.letGo(key, now)
	}
	report("a", 2, now)
	if got := l.Underway(key); !got.Equal(now.Add(handover)) {
		t.Errorf("one is missing, under way until %v", got)
	}
	report("b", 1, now)
	if !l.Underway(key).IsZero() {
		t.Error("all have arrived, something is under way")
	}
	l.letGo(key, now)
	report("a", 0, now.Add(handover))
	if l.Underway(key).IsZero() {
		t.Error("given up too early")
	}
	report("a", 0, now.Add(handover+1))
	if !l.Underway(key).IsZero() {
		t.Error("waits for ever for a client that left")
	}
}
