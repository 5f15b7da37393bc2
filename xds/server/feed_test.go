package server

import (
	"cmp"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

func TestAProxySpeaksForAllThatItServesAndForNobodyElse(t *testing.T) {
	key := func(name string) model.Key { return model.Key{Namespace: "default", Name: name} }
	replica := func(revision, pod string, programmed bool) *store.Replica {
		return &store.Replica{Replica: model.Replica{Pod: key(pod), Revision: model.Revision{Key: key(revision)}}, Programmed: programmed}
	}
	gauge := func(name string, value float64) *dto.MetricFamily {
		return &dto.MetricFamily{Name: proto.String(name), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(value)}}}}
	}
	replicas := []*store.Replica{
		replica("called", "called-1", true), replica("quiet", "quiet-1", true), replica("quiet", "quiet-2", false), replica("coming", "coming-1", false),
	}
	samples, flights := Parse([]*dto.MetricFamily{
		gauge("cluster.revision|default/called.upstream_rq_active", 3), gauge("http.replica|default/called-1.downstream_rq_active", 3),
		gauge("cluster.revision|default/foreign.upstream_rq_active", 9), gauge("http.replica|default/foreign-1.downstream_rq_active", 9),
	})
	samples, flights = own(replicas, samples, flights)
	slices.SortFunc(samples, func(a, b Sample) int { return cmp.Compare(a.Revision.Name, b.Revision.Name) })
	if want := []Sample{{Revision: key("called"), Active: 3}, {Revision: key("quiet")}}; !slices.Equal(samples, want) {
		t.Errorf("samples %+v", samples)
	}
	if want := []Flight{{Pod: key("called-1"), Active: 3}}; !slices.Equal(flights, want) {
		t.Errorf("flights %+v", flights)
	}
}
