package jetstream

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the log's own; those of what is accepted for whom are the ingress's.
type metrics struct {
	commits    prometheus.Counter
	events     prometheus.Counter
	bytes      prometheus.Counter
	seconds    prometheus.Histogram
	duplicates prometheus.Counter
	full       prometheus.Counter
	dropped    prometheus.Counter
	failed     prometheus.Counter
	unread     *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "ebb", Subsystem: "event_log", Name: name, Help: help})
	}
	m := &metrics{
		commits: counter("commits_total", "Commits, of one event or more each."),
		events:  counter("events_total", "Events stored."),
		bytes:   counter("bytes_total", "Bytes stored."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "ebb", Subsystem: "event_log", Name: "commit_duration_seconds", Help: "How long a commit takes.",
			Buckets: prometheus.ExponentialBuckets(20e-6, 2, 16),
		}),
		duplicates: counter("duplicates_total", "Events that were stored already."),
		full:       counter("refused_full_total", "Appends refused because too much is unread."),
		dropped:    counter("dropped_total", "Events dropped for age or size after all readers had read them."),
		failed:     counter("retention_errors_total", "Failures of dropping what is not needed any more."),
		unread: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "ebb", Subsystem: "event_log", Name: "unread_ratio", Help: "Unread bytes of a stream by its limit, where something is unread.",
		}, []string{"stream"}),
	}
	if r != nil {
		r.MustRegister(m.commits, m.events, m.bytes, m.seconds, m.duplicates, m.full, m.dropped, m.failed, m.unread)
	}
	return m
}

func (m *metrics) commit(events, bytes int, took time.Duration) {
	m.commits.Inc()
	m.events.Add(float64(events))
	m.bytes.Add(float64(bytes))
	m.seconds.Observe(took.Seconds())
}

// show has a series only for streams of which something is unread.
func (m *metrics) show(stream string, ratio float64) {
	if ratio > 0 {
		m.unread.WithLabelValues(stream).Set(ratio)
		return
	}
	m.unread.DeleteLabelValues(stream)
}
