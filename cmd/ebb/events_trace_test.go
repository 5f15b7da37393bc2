package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/model"
)

func TestATraceIsShownInWords(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	partition := int32(3)
	found := broker.Trace{
		ID: "e1",
		Stored: []broker.Sighting{{
			Place:  broker.Place{Kind: model.Broker, Namespace: "shop", Name: "default"},
			Stored: broker.Stored{Partition: &partition, Position: 7, Stored: at, Type: "order", Source: "/shop", ID: "e1", Bytes: 12}, Trace: "4bf9",
			Readers: []broker.ReaderFate{
				{Kind: model.Trigger, Namespace: "shop", Name: "mail", State: dispatch.Waiting, Attempts: 2, NextAttempt: &at, Paused: true},
				{Kind: model.Trigger, Namespace: "shop", Name: "ship", State: dispatch.Taken, Subscriber: "http://ship"},
				{Kind: model.Trigger, Namespace: "shop", Name: "bill", State: dispatch.Dead, At: &at, To: dispatch.ToList, Code: 400, Reason: "no\nroom"},
			},
		}},
		Related:    []broker.Related{{Place: broker.Place{Kind: model.Channel, Namespace: "bank", Name: "ledger"}, Stored: broker.Stored{Position: 9, ID: "answer"}}},
		Incomplete: []string{"Broker a/b: gone"},
	}
	var b bytes.Buffer
	if err := writeTrace(&b, found); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{
		"Broker shop/default, position 3/7, stored 2026-01-02 03:04:05.000: type order, source /shop, 12 bytes\ntrace 4bf9\n",
		"waiting     2 attempts failed; next at 2026-01-02 03:04:05.000; nothing is delivered now",
		"delivered   to http://ship",
		"dead        is on the list: ebb events dead bill -n shop; at 2026-01-02 03:04:05; the answer was 400 no room",
		"Of the same trace:\n  Channel bank/ledger   9 ", "answer", "something may be missing: Broker a/b: gone",
	} {
		if !strings.Contains(b.String(), words) {
			t.Errorf("%q is missing in\n%s", words, b.String())
		}
	}
}
