package dispatch

import "github.com/prometheus/client_golang/prometheus"

// labels name a reader as users know it, and by its id: one that is made again while the old one goes has the same names.
var labels = []string{"kind", "namespace", "name", "stream", "reader"}

func desc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("ebb_events_reader_"+name, help, append(append([]string{}, labels...), more...), nil)
}

var (
	matchedDesc   = desc("matched_total", "Events that passed the reader's filter.")
	deliveredDesc = desc("delivered_total", "Events that the subscriber took.")
	retriedDesc   = desc("retried_total", "Attempts that failed and were followed by another one.")
	repliedDesc   = desc("replied_total", "Replies that were delivered.")
	deadDesc      = desc("dead_total", "Events given up, by where they went: the sink, or the reader's list.", "to")
	droppedDesc   = desc("dropped_total", "What was dropped: replies without a hop left, malformed replies, events the log did not keep.", "what")
	inFlightDesc  = desc("in_flight", "Deliveries under way.")
	openDesc      = desc("open", "Events looked at and not done with.")
	lagDesc       = desc("lag_positions", "Positions of the stream that the reader is not past.")
	ageDesc       = desc("lag_seconds", "Age of the oldest event that is not done with.")
	latencyDesc   = desc("attempt_seconds", "Duration of attempts.")
)

// collector makes the metrics when they are asked for, so that an idle reader costs nothing.
type collector struct{ d *Dispatcher }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		matchedDesc, deliveredDesc, retriedDesc, repliedDesc, deadDesc, droppedDesc, inFlightDesc, openDesc, lagDesc, ageDesc, latencyDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	now := c.d.Clock.Now()
	for _, r := range c.d.all() {
		s := r.snapshot()
		values := []string{string(s.Kind), s.Key.Namespace, s.Key.Name, string(s.Stream), string(s.ID)}
		counter := func(d *prometheus.Desc, v uint64, more ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append(values[:len(labels):len(labels)], more...)...)
		}
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, values...)
		}
		counter(matchedDesc, s.Matched)
		counter(deliveredDesc, s.Delivered)
		counter(retriedDesc, s.Retried)
		counter(repliedDesc, s.Replied)
		counter(deadDesc, s.DeadSink, "sink")
		counter(deadDesc, s.DeadKept, "list")
		counter(droppedDesc, s.Expired, "expired_reply")
		counter(droppedDesc, s.Malformed, "malformed_reply")
		counter(droppedDesc, s.Lost, "lost_event")
		gauge(inFlightDesc, float64(s.InFlight))
		gauge(openDesc, float64(s.Open))
		gauge(lagDesc, float64(max(s.Head, s.Low)-s.Low))
		age := 0.0
		if !s.Oldest.IsZero() {
			age = max(now.Sub(s.Oldest), 0).Seconds()
		}
		gauge(ageDesc, age)
		if h, ok := r.latencies(); ok {
			ch <- prometheus.MustNewConstHistogram(latencyDesc, h.count, h.sum, h.cumulative(), values...)
		}
	}
}

// latencies is a copy of the reader's histogram, if it has one.
func (r *reader) latencies() (histogram, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stats.latency == nil {
		return histogram{}, false
	}
	return *r.stats.latency, true
}
