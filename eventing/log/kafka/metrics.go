package kafka

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of all logs on Kafka of a process.
type Metrics struct {
	failed  prometheus.Counter
	skipped *prometheus.CounterVec
	commits prometheus.Counter
}

// NewMetrics registers the metrics; nil registers none.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ebb_log_kafka_append_failures_total", Help: "Appends that Kafka did not confirm.",
		}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ebb_log_kafka_records_skipped_total", Help: "Records that others wrote and that are no valid CloudEvents, by topic.",
		}, []string{"topic"}),
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ebb_log_kafka_commit_failures_total", Help: "Commits of positions to consumer groups that failed and are tried again.",
		}),
	}
	if r != nil {
		r.MustRegister(m.failed, m.skipped, m.commits)
	}
	return m
}
