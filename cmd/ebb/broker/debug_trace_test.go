package broker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestATraceSaysWhereAnEventIsAndWent(t *testing.T) {
	p := delivering(t, func(id string, _ int) int {
		if id == "bad" {
			return http.StatusBadRequest
		}
		return http.StatusAccepted
	})
	other := model.Stream{ID: "channel.1", Kind: model.Channel, Key: model.Key{Namespace: "bank", Name: "ledger"}}
	p.streams.Set(other)
	sent, reply, twin := made("e1"), made("answer"), made("e1")
	sent.SetExtension(extension.TraceParent, traceparent)
	reply.SetExtension(extension.TraceParent, strings.Replace(traceparent, "00f067aa0ba902b7", "00f067aa0ba902b8", 1))
	twin.SetSource("/bank")
	p.append(t, brokerStream, made("e0"), sent, reply, made("bad"))
	p.append(t, other.ID, made("x"), twin)
	p.until(t, 4)

	var all, shop, none, bad Trace
	p.good(t, "GET", TracePath+"?id=e1", &all)
	if len(all.Stored) != 2 || all.Searched != 6 || all.Streams != 2 || len(all.Incomplete) != 0 {
		t.Fatalf("%+v", all)
	}
	first, second := all.Stored[0], all.Stored[1]
	if first.Kind != model.Broker || first.Position != 2 || first.Trace == "" || len(first.Readers) != 1 || first.Readers[0].State != dispatch.Taken {
		t.Errorf("in the Broker: %+v", first)
	}
	if second.Kind != model.Channel || second.Name != "ledger" || second.Position != 2 || len(second.Readers) != 0 {
		t.Errorf("in the Channel: %+v", second)
	}
	if len(all.Related) != 1 || all.Related[0].ID != "answer" || all.Related[0].Trace != first.Trace {
		t.Errorf("related: %+v", all.Related)
	}
	p.good(t, "GET", TracePath+"?id=e1&source=/shop&namespace=shop&since=1h", &shop)
	if len(shop.Stored) != 1 || shop.Stored[0].Source != "/shop" || shop.Streams != 1 {
		t.Errorf("%+v", shop)
	}
	p.good(t, "GET", TracePath+"?id=e1&since="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339), &none)
	if len(none.Stored) != 0 || none.Searched != 0 {
		t.Errorf("%+v", none)
	}
	p.good(t, "GET", TracePath+"?id=bad", &bad)
	if r := bad.Stored[0].Readers[0]; r.State != dispatch.Dead || r.To != dispatch.ToList || r.Code != 400 || r.Name != "mail" {
		t.Errorf("%+v", r)
	}
	for query, words := range map[string]string{"": "id: is missing", "?id=a&since=7": "must be a time", "?id=a&since=never": "must be"} {
		if status, text := p.ask(t, "GET", TracePath+query, nil); status != http.StatusBadRequest || !strings.Contains(text, words) {
			t.Errorf("%q: %d %s", query, status, text)
		}
	}
}

// forgetful knows of nothing how it ended.
type forgetful struct{}

func (forgetful) Fate(model.ReaderID, log.Record) (dispatch.Fate, bool) {
	return dispatch.Fate{State: dispatch.Done}, true
}

func TestWhatIsForgottenIsFoundOnTheListOrSaidToBe(t *testing.T) {
	p := served(t, model.Limits{})
	p.fates, p.all = forgetful{}, p.streams.All
	p.append(t, brokerStream, made("e0"), made("e1"))
	p.die(t, "e1")
	for id, want := range map[string]dispatch.State{"e0": dispatch.Taken, "e1": dispatch.Dead} {
		var found Trace
		p.good(t, "GET", TracePath+"?id="+id, &found)
		if got := found.Stored[0].Readers[0]; got.State != want || want == dispatch.Dead && (got.Code != 503 || got.Reason != "no room") {
			t.Errorf("%s: %+v", id, got)
		}
	}
	readers := p.readers.(snapshot)
	readers[0].DeadLetter = "http://graves"
	var found Trace
	p.good(t, "GET", TracePath+"?id=e0", &found)
	if got := found.Stored[0].Readers[0].State; got != dispatch.Done {
		t.Errorf("with a sink: %s", got)
	}
}

func TestATraceOfManyIsCut(t *testing.T) {
	p := served(t, model.Limits{})
	p.fates, p.all = forgetful{}, p.streams.All
	for i := range tracedMost + 5 {
		e := made("e")
		e.SetSource(fmt.Sprint("/", i))
		p.append(t, brokerStream, e)
	}
	var found Trace
	p.good(t, "GET", TracePath+"?id=e", &found)
	if len(found.Stored) != tracedMost || len(found.Incomplete) != 1 {
		t.Errorf("%d, %v", len(found.Stored), found.Incomplete)
	}
}
