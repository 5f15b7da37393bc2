package broker

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/graph"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
)

func TestTheGraphShowsWhoSentUntilTheBrokerIsGone(t *testing.T) {
	l := &memory.Log{}
	p := &process{streams: &ingress.Registry{}, registry: prometheus.NewRegistry()}
	p.ingress = ingress.New(ingress.Options{Log: l, Streams: p.streams, Metrics: p.registry, Senders: &p.senders})
	p.dispatcher = dispatch.New(dispatch.Options{Log: l, Accept: p.ingress.Accept})
	events := &plane{log: l, streams: p.streams, forget: p.forget}
	stream := model.Stream{ID: brokerStream, Kind: model.Broker, Key: model.Key{Namespace: "shop", Name: "default"}}
	if err := events.EnsureStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"/a", "/a", "/b", ""} {
		r := httptest.NewRequest("POST", "/shop/default", strings.NewReader("hello"))
		for name, value := range map[string]string{"Specversion": "1.0", "Id": "1", "Source": source, "Type": "t"} {
			r.Header.Set("Ce-"+name, value)
		}
		p.ingress.ServeHTTP(httptest.NewRecorder(), r)
	}
	answer := httptest.NewRecorder()
	p.graph(answer, httptest.NewRequest(http.MethodGet, GraphPath, nil))
	var g graph.Graph
	if err := json.Unmarshal(answer.Body.Bytes(), &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 3 || len(g.Edges) != 2 || g.Edges[0].From != "Sender /a" || g.Edges[0].Events != 2 || g.Edges[0].Last == nil {
		t.Errorf("%+v", g)
	}
	if !counted(t, p, "ebb_event_stream_info") || !counted(t, p, "ebb_event_ingress_events_total") {
		t.Error("a Broker is not counted")
	}
	if err := events.RemoveStream(context.Background(), brokerStream); err != nil {
		t.Fatal(err)
	}
	if counted(t, p, "ebb_event_stream_info") || counted(t, p, "ebb_event_ingress_events_total") || len(p.senders.All()) > 0 {
		t.Error("a Broker that is gone is still counted")
	}
}

// counted says whether there are metrics of that name.
func counted(t *testing.T, p *process, name string) bool {
	t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return true
		}
	}
	return false
}
