package async

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/model"
)

// metrics are per Service, but for notices.
type metrics struct {
	accepted, attempts, ends *prometheus.CounterVec
	open                     *prometheus.GaugeVec
	notices                  *prometheus.CounterVec
	early                    prometheus.Counter
	seconds                  *prometheus.HistogramVec
}

var serviceLabels = []string{"namespace", "name"}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "ebb", Subsystem: "async", Name: name, Help: help}, labels)
	}
	m := &metrics{
		accepted: counter("accepted_total", "Requests stored to be answered later.", serviceLabels...),
		attempts: counter("attempts_total", "Attempts, by the status of the answer; 0 is none.", append([]string{"code"}, serviceLabels...)...),
		ends:     counter("ended_total", "Requests that have ended, by how.", append([]string{"state"}, serviceLabels...)...),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "ebb", Subsystem: "async", Name: "open_requests", Help: "Requests that have not ended."}, serviceLabels),
		notices: counter("notices_total", "Attempts to tell of an end.", "kind", "outcome"),
		early: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "ebb", Subsystem: "async", Name: "forgotten_early_total", Help: "Ended requests that were forgotten before their time, to make room."}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "ebb", Subsystem: "async", Name: "age_seconds", Help: "From accepting a request to its end.",
			Buckets: []float64{.01, .1, 1, 10, 60, 600, 3600, 86400},
		}, serviceLabels),
	}
	if r != nil {
		r.MustRegister(m.accepted, m.attempts, m.ends, m.open, m.notices, m.early, m.seconds)
	}
	return m
}

func (m *metrics) attempt(service model.Key, status int) {
	m.attempts.WithLabelValues(strconv.Itoa(status), service.Namespace, service.Name).Inc()
}

func (m *metrics) ended(r request.Record) {
	m.ends.WithLabelValues(string(r.State), r.Service.Namespace, r.Service.Name).Inc()
	m.seconds.WithLabelValues(r.Service.Namespace, r.Service.Name).Observe(r.Ended.Sub(r.Accepted).Seconds())
}

func (m *metrics) notice(kind request.Kind, delivered bool) {
	outcome := "failed"
	if delivered {
		outcome = "delivered"
	}
	m.notices.WithLabelValues(string(kind), outcome).Inc()
}

// forget drops what is shown of a Service that has nothing left. Counters stay: they are sums.
func (m *metrics) forget(service model.Key) {
	m.open.DeleteLabelValues(service.Namespace, service.Name)
}
