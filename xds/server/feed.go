package server

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	dto "github.com/prometheus/client_model/go"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Sample is what one replica proxy measured of one revision in one interval.
type Sample struct {
	Revision model.Key
	// Active requests are at the app, Pending ones wait for a slot; both are gauges at the moment of the report.
	Active, Pending float64
	// Requests finished being sent since the last report; Busy is the sum of the durations of those that ended, in seconds.
	Requests float64
	Busy     float64
}

// Flight is how many requests one replica has in flight.
type Flight struct {
	Pod    model.Key
	Active float64
}

// Sink takes what proxies report. It must not block.
type Sink interface {
	// Report is one proxy's report: all of its revisions and replicas.
	Report(proxy string, at time.Time, samples []Sample, flights []Flight)
	// Silent is told that a proxy's stream ended.
	Silent(proxy string)
}

// Feed receives the metrics that replica proxies stream every 200 ms.
type Feed struct {
	metricsv3.UnimplementedMetricsServiceServer
	trustDomain string
	store       *store.Store
	sink        Sink
	now         func() time.Time
	log         *slog.Logger
}

// NewFeed makes the service. The store says which replicas a proxy may speak for.
func NewFeed(trustDomain string, s *store.Store, sink Sink, now func() time.Time, log *slog.Logger) *Feed {
	return &Feed{trustDomain: trustDomain, store: s, sink: sink, now: now, log: log}
}

// StreamMetrics is one proxy's stream. Only its first message says which proxy it is.
func (f *Feed) StreamMetrics(stream metricsv3.MetricsService_StreamMetricsServer) error {
	var id string
	for {
		message, err := stream.Recv()
		if err != nil {
			if id != "" {
				f.sink.Silent(id)
			}
			return err
		}
		if id == "" {
			if id, err = proxyOf(stream.Context(), f.trustDomain, message.GetIdentifier().GetNode().GetId()); err != nil {
				return err
			}
		}
		now := f.now()
		samples, flights := Parse(message.GetEnvoyMetrics())
		samples, flights = own(f.store.Read().ReplicasAt(id), samples, flights)
		f.sink.Report(id, now, samples, flights)
	}
}

// own keeps what a proxy says of the replicas that it serves, and of their revisions: it speaks for no others. A revision that it serves and
// does not name has never been called there: Envoy leaves out statistics that nothing has touched, so these are said to be zero.
func own(replicas []*store.Replica, samples []Sample, flights []Flight) ([]Sample, []Flight) {
	served, pods := map[model.Key]bool{}, map[model.Key]bool{}
	for _, replica := range replicas {
		served[replica.Revision.Key] = served[replica.Revision.Key] || replica.Programmed
		pods[replica.Pod] = true
	}
	samples = slices.DeleteFunc(samples, func(s Sample) bool { _, ok := served[s.Revision]; return !ok })
	flights = slices.DeleteFunc(flights, func(f Flight) bool { return !pods[f.Pod] })
	for _, sample := range samples {
		delete(served, sample.Revision)
	}
	for revision, programmed := range served {
		if programmed {
			samples = append(samples, Sample{Revision: revision})
		}
	}
	return samples, flights
}

// The statistics that are used. Counters are reported as deltas, histograms as the summary of the interval.
const (
	activeGauge    = "upstream_rq_active"
	pendingGauge   = "upstream_rq_pending_active"
	requestCounter = "upstream_rq_total"
	timeHistogram  = "upstream_rq_time"
	flightGauge    = "downstream_rq_active"
)

// Parse reads a report: "cluster.revision|NS/NAME.STAT" and "http.replica|NS/POD.STAT".
func Parse(families []*dto.MetricFamily) ([]Sample, []Flight) {
	byRevision := map[model.Key]*Sample{}
	var flights []Flight
	for _, family := range families {
		name := family.GetName()
		switch {
		case strings.HasPrefix(name, "cluster."):
			subject, stat, ok := split(strings.TrimPrefix(name, "cluster."))
			if !ok {
				continue
			}
			key, err := model.ParseRevisionStat(subject)
			if err != nil {
				continue
			}
			sample, ok := byRevision[key]
			if !ok {
				sample = &Sample{Revision: key}
				byRevision[key] = sample
			}
			sample.add(stat, family)
		case strings.HasPrefix(name, "http."):
			subject, stat, ok := split(strings.TrimPrefix(name, "http."))
			if !ok || stat != flightGauge {
				continue
			}
			if pod, err := model.ParseReplicaName(subject); err == nil {
				flights = append(flights, Flight{Pod: pod, Active: value(family)})
			}
		}
	}
	samples := make([]Sample, 0, len(byRevision))
	for _, sample := range byRevision {
		samples = append(samples, *sample)
	}
	return samples, flights
}

// split cuts a name at its last dot: the subject may have dots of its own.
func split(name string) (subject, stat string, ok bool) {
	at := strings.LastIndexByte(name, '.')
	if at <= 0 {
		return "", "", false
	}
	return name[:at], name[at+1:], true
}

func (s *Sample) add(stat string, family *dto.MetricFamily) {
	switch stat {
	case activeGauge:
		s.Active = value(family)
	case pendingGauge:
		s.Pending = value(family)
	case requestCounter:
		s.Requests = value(family)
	case timeHistogram:
		for _, metric := range family.GetMetric() {
			// Envoy's histogram of upstream_rq_time is in milliseconds.
			s.Busy += metric.GetHistogram().GetSampleSum() / 1000
		}
	}
}

func value(family *dto.MetricFamily) float64 {
	var sum float64
	for _, metric := range family.GetMetric() {
		sum += metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
	}
	return sum
}
