package kafka

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of all KafkaSources.
type Metrics struct {
	delivered, retried, dead, lost prometheus.Counter
}

// NewMetrics registers the metrics; nil registers none.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "ebb_kafka_source_" + name, Help: help})
	}
	m := &Metrics{
		delivered: counter("events_delivered_total", "Events that sinks took."),
		retried:   counter("deliveries_retried_total", "Deliveries that are tried again."),
		dead:      counter("events_dead_lettered_total", "Events that dead letter sinks took."),
		lost:      counter("events_given_up_total", "Events that neither a sink nor a dead letter sink took."),
	}
	if r != nil {
		r.MustRegister(m.delivered, m.retried, m.dead, m.lost)
	}
	return m
}
