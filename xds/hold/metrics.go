package hold

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	held    prometheus.Gauge
	refused prometheus.Counter
	waited  *prometheus.HistogramVec
}

func newMetrics() *metrics {
	return &metrics{
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ebb_hold_requests", Help: "Requests held now.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ebb_hold_refused_total", Help: "Requests refused because too many were held.",
		}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ebb_hold_duration_seconds", Help: "Time requests were held, by how the hold ended.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"verdict"}),
	}
}

// Collectors are the hold's metrics.
func (h *Hold) Collectors() []prometheus.Collector {
	return []prometheus.Collector{h.stats.held, h.stats.refused, h.stats.waited}
}
