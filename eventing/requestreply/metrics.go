package requestreply

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/eventing/model"
)

// Metrics are those of RequestReplies. A nil one counts nothing.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// labels name a RequestReply; what is for none has empty ones.
var labels = []string{"namespace", "name"}

// NewMetrics registers them, and how many requests wait.
func NewMetrics(r prometheus.Registerer, w *Waiting) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "ebb", Subsystem: "event_request_reply", Name: "requests_total", Help: "Requests to RequestReplies, by the code of the answer.",
		}, append([]string{"code"}, labels...)),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "ebb", Subsystem: "event_request_reply", Name: "request_duration_seconds", Help: "How long requests take that get a reply.",
			Buckets: []float64{.005, .01, .05, .1, .5, 1, 5, 10, 30, 60},
		}, labels),
	}
	r.MustRegister(m.requests, m.seconds, waits{w})
	return m
}

func (m *Metrics) answered(key model.Key, code int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(strconv.Itoa(code), key.Namespace, key.Name).Inc()
	if code == 200 {
		m.seconds.WithLabelValues(key.Namespace, key.Name).Observe(took.Seconds())
	}
}

// Forget drops what is counted for a RequestReply that is gone.
func (m *Metrics) Forget(key model.Key) {
	if m == nil {
		return
	}
	l := prometheus.Labels{"namespace": key.Namespace, "name": key.Name}
	m.requests.DeletePartialMatch(l)
	m.seconds.DeletePartialMatch(l)
}

var waitsDesc = prometheus.NewDesc("ebb_event_request_reply_waiting", "Requests that wait for a reply.", labels, nil)

// waits collects how many requests wait.
type waits struct{ w *Waiting }

// Describe implements prometheus.Collector.
func (c waits) Describe(ch chan<- *prometheus.Desc) { ch <- waitsDesc }

// Collect implements prometheus.Collector.
func (c waits) Collect(ch chan<- prometheus.Metric) {
	for key, n := range c.w.Counts() {
		ch <- prometheus.MustNewConstMetric(waitsDesc, prometheus.GaugeValue, float64(n), key.Namespace, key.Name)
	}
}
