package server

import (
	"fmt"
	"testing"
	"time"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

func TestReplicasAreAskedFromWhenTheyBegin(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	replica := func(name string, change func(*store.Replica)) *store.Replica {
		r := &store.Replica{Replica: model.Replica{
			Pod: model.Key{Namespace: "default", Name: name}, App: model.Address{Host: "10.0.0.7", Port: 8080},
			Revision: model.Revision{Probe: &model.Probe{Kind: model.ProbeTCP, Port: 8080}},
		}}
		change(r)
		return r
	}
	type look struct {
		at          int
		replicas    []*store.Replica
		every, next time.Duration
		answers     bool
	}
	const ms = time.Millisecond
	plain := replica("a", func(r *store.Replica) { r.Started = at(-1000) })
	created := replica("a", func(*store.Replica) {})
	started := replica("a", func(r *store.Replica) { r.Started = at(5000) })
	beside := replica("a", func(r *store.Replica) { r.Proxy = "sidecar/default/a" })
	listens := replica("a", func(r *store.Replica) { r.Proxy, r.Started = "sidecar/default/a", at(300) })
	crowd := []*store.Replica{plain}
	for i := range 71 {
		crowd = append(crowd, replica(fmt.Sprint("created-", i), func(*store.Replica) {}))
	}
	delayed := replica("a", func(r *store.Replica) { r.Started, r.Revision.Probe.InitialDelay = at(0), 700*ms })
	for name, looks := range map[string][]look{
		"an app that starts soon, and another one that takes seconds": {
			{0, []*store.Replica{plain}, 2 * ms, 800 * ms, false},
			{500, []*store.Replica{plain}, 2 * ms, 300 * ms, false},
			{2000, []*store.Replica{plain}, 8 * ms, 1200 * ms, false},
		},
		"seldom before its containers run, for nobody can answer": {
			{0, []*store.Replica{created}, 50 * ms, 800 * ms, false},
			{30_000, []*store.Replica{created}, 128 * ms, 21200 * ms, false},
		},
		"a sidecar says when its app listens": {
			{0, []*store.Replica{beside}, 50 * ms, 800 * ms, false},
			{300, []*store.Replica{listens}, 2 * ms, 800 * ms, false},
		},
		"an image that took seconds is not the app's": {
			{0, []*store.Replica{created}, 50 * ms, 800 * ms, false},
			{5000, []*store.Replica{started}, 2 * ms, 800 * ms, false},
		},
		"one that went and came back begins anew": {
			{0, []*store.Replica{plain}, 2 * ms, 800 * ms, false},
			{2000, nil, 0, time.Hour, false},
			{4000, []*store.Replica{plain}, 2 * ms, 800 * ms, false},
		},
		"not before its initial delay is over": {
			{0, []*store.Replica{delayed}, 2 * ms, 700 * ms, true},
			{700, []*store.Replica{delayed}, 2 * ms, 100 * ms, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			began := beginnings{}
			for _, l := range looks {
				starting, next := began.starting(l.replicas, at(l.at))
				if next != l.next || len(starting) != len(l.replicas) {
					t.Fatalf("after %d ms: %d replicas, looked at again after %v", l.at, len(starting), next)
				}
				for _, s := range starting {
					if s.Every != l.every || s.Answers != l.answers {
						t.Errorf("after %d ms: %+v", l.at, s)
					}
				}
			}
		})
	}
	starting, _ := (beginnings{}).starting(crowd, begin)
	for _, s := range starting {
		if runs := s.Pod == plain.Pod; runs && s.Every != 2*ms || !runs && s.Every != 64*ms {
			t.Errorf("one of 72 runs, and %s is asked every %v", s.Pod, s.Every)
		}
	}
	done := replica("a", func(r *store.Replica) { r.Answers, r.Listening = true, true })
	if starting, _ := (beginnings{}).starting([]*store.Replica{done, replica("b", func(r *store.Replica) { r.App.Host = "" })}, begin); len(starting) != 0 {
		t.Error("asked of what is ready, or has no address:", starting)
	}
}
