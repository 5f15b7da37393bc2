package graph

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/model"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func key(name string) model.Key { return model.Key{Namespace: "shop", Name: name} }

func TestTheGraphLeadsFromSendersToSubscribersAndBack(t *testing.T) {
	streams := []model.Stream{
		{ID: "broker.1", Kind: model.Broker, Key: key("default")},
		{ID: "channel.1", Kind: model.Channel, Key: key("ledger"), Hosts: []string{"ledger-kn-channel.shop.svc.cluster.local"}},
	}
	readers := []dispatch.Reader{
		{Kind: model.Trigger, Key: key("mail"), Stream: "broker.1#0", Subscriber: "http://mail", Matched: 3, MatchedAt: noon, Delivered: 2, DeliveredAt: noon, Retried: 1, DeadKept: 1, Replied: 1, RepliedAt: noon},
		{Kind: model.Trigger, Key: key("mail"), Stream: "broker.1#1", Subscriber: "http://mail", Matched: 4, MatchedAt: noon.Add(time.Second)},
		{
			Kind: model.Trigger, Key: key("book"), Stream: "broker.1", Subscriber: "http://ledger-kn-channel.shop.svc.cluster.local/", Paused: true,
			DeadLetter: "http://broker-ingress.knative-eventing.svc.cluster.local/shop/default", DeadSink: 5, DeadAt: noon,
		},
		{Kind: model.Subscription, Key: key("write"), Stream: "channel.1", Subscriber: "http://u:p@writer", Reply: "http://mail"},
		{Kind: model.Subscription, Key: key("idle"), Stream: "channel.1", Nowhere: true},
		{Kind: model.Trigger, Key: key("orphan"), Stream: "broker.2", Subscriber: "http://mail"},
	}
	got := Build(streams, readers, []Sent{{"broker.1", "/a", 7, noon}, {"broker.1", Others, 2, noon}, {"broker.2", "/a", 9, noon}})
	var nodes, edges []string
	for _, n := range got.Nodes {
		nodes = append(nodes, fmt.Sprintf("%s paused=%t", n.ID, n.Paused))
	}
	for _, e := range got.Edges {
		last := "never"
		if e.Last != nil {
			last = e.Last.Format(time.TimeOnly)
		}
		edges = append(edges, fmt.Sprintf("%s -%s-> %s: %d, %s, %d retried, %d dead", e.From, e.What, e.To, e.Events, last, e.Retried, e.Dead))
	}
	wantNodes := []string{
		"Broker shop/default paused=false", "Channel shop/ledger paused=false", "Sender  paused=false", "Sender /a paused=false",
		"Subscriber http://mail paused=false", "Subscriber http://writer paused=false",
		"Subscription shop/idle paused=true", "Subscription shop/write paused=false", "Trigger shop/book paused=true", "Trigger shop/mail paused=false",
	}
	wantEdges := []string{
		"Broker shop/default -matches-> Trigger shop/book: 0, never, 0 retried, 0 dead",
		"Broker shop/default -matches-> Trigger shop/mail: 7, 12:00:01, 0 retried, 0 dead",
		"Channel shop/ledger -matches-> Subscription shop/idle: 0, never, 0 retried, 0 dead",
		"Channel shop/ledger -matches-> Subscription shop/write: 0, never, 0 retried, 0 dead",
		"Sender  -sends-> Broker shop/default: 2, 12:00:00, 0 retried, 0 dead",
		"Sender /a -sends-> Broker shop/default: 7, 12:00:00, 0 retried, 0 dead",
		"Subscriber http://mail -replies-> Broker shop/default: 1, 12:00:00, 0 retried, 0 dead",
		"Subscriber http://writer -replies-> Subscriber http://mail: 0, never, 0 retried, 0 dead",
		"Subscription shop/write -delivers-> Subscriber http://writer: 0, never, 0 retried, 0 dead",
		"Trigger shop/book -dead-letters-> Broker shop/default: 5, 12:00:00, 0 retried, 0 dead",
		"Trigger shop/book -delivers-> Channel shop/ledger: 0, never, 0 retried, 5 dead",
		"Trigger shop/mail -delivers-> Subscriber http://mail: 2, 12:00:00, 1 retried, 1 dead",
	}
	if diff := cmp.Diff(wantNodes, nodes); diff != "" {
		t.Errorf("nodes (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(wantEdges, edges); diff != "" {
		t.Errorf("edges (-want +got)\n%s", diff)
	}
}

func TestSendersAreBounded(t *testing.T) {
	var s Senders
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 2 * sendersMost {
				s.Sent("broker.1", fmt.Sprintf("/%d/%d", w, i), noon)
			}
		})
	}
	group.Wait()
	events := uint64(0)
	for _, one := range s.All() {
		events += one.Events
	}
	if all := s.All(); len(all) != sendersMost+1 || all[0].Source != Others || events != 8*sendersMost {
		t.Errorf("%d senders, %d events, %+v", len(all), events, all[0])
	}
	// Those that have been silent make room.
	s.Sent("broker.1", "/late", noon.Add(idleAfter))
	all := s.All()
	if len(all) != 2 || all[0].Events != 8*sendersMost || all[1].Source != "/late" {
		t.Errorf("later: %+v", all)
	}
	s.Forget("broker.1")
	if all := s.All(); len(all) != 0 || s.n != 0 {
		t.Errorf("forgotten: %+v, %d", all, s.n)
	}
}

func TestALongSourceIsCut(t *testing.T) {
	var s Senders
	s.Sent("broker.1", strings.Repeat("ä", sourceBytes), noon)
	if got := s.All()[0].Source; len(got) > sourceBytes+len("…") || !strings.HasPrefix(got, "ä") {
		t.Errorf("%d bytes", len(got))
	}
}

func BenchmarkSent(b *testing.B) {
	var s Senders
	b.ReportAllocs()
	for b.Loop() {
		s.Sent("broker.1", "/shop", noon)
	}
}
