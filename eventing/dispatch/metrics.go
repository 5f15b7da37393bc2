package dispatch

import "github.com/prometheus/client_golang/prometheus"

// labels name a reader as users know it, and by its id: one that is made again while the old one goes has the same names.
var labels = []string{"kind", "namespace", "name", "stream", "reader"}

func desc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("ebb_event_reader_"+name, help, append(append([]string{}, labels...), more...), nil)
}

var (
	matchedDesc   = desc("matched_total", "Events that passed the reader's filter.")
	filteredDesc  = desc("filtered_total", "Events that were looked at and did not pass the reader's filter.")
	deliveredDesc = desc("delivered_total", "Events that the subscriber took.")
	retriedDesc   = desc("retried_total", "Attempts that failed and were followed by another one.")
	repliedDesc   = desc("replied_total", "Replies that were delivered.")
	deadDesc      = desc("dead_total", "Events given up, by where they went: the sink, or the reader's list.", "to")
	droppedDesc   = desc("dropped_total", "What was dropped: replies without a hop left, malformed replies, events the log did not keep.", "what")
	replayedDesc  = desc("replayed_total", "Events that the subscriber took again, in replays.")
	inFlightDesc  = desc("in_flight_deliveries", "Deliveries under way.")
	openDesc      = desc("open_events", "Events that passed the filter and are not done with.")
	pausedDesc    = desc("paused", "1 if nothing is delivered: the reader is paused or has no subscriber.")
	lagDesc       = desc("lag_positions", "Positions of the stream that the reader is not past.")
	ageDesc       = desc("lag_seconds", "Age of the oldest event that is not done with.")
	attemptDesc   = desc("attempt_duration_seconds", "How long attempts take.")
	latencyDesc   = desc("delivery_latency_seconds", "From storing an event to its subscriber's taking it.")
)

// collector makes the metrics when they are asked for, so that an idle reader costs nothing.
type collector struct{ d *Dispatcher }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		matchedDesc, filteredDesc, deliveredDesc, retriedDesc, repliedDesc, deadDesc, droppedDesc, replayedDesc, inFlightDesc, openDesc, pausedDesc,
		lagDesc, ageDesc, attemptDesc, latencyDesc,
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
		counter(filteredDesc, s.Filtered)
		counter(deliveredDesc, s.Delivered)
		counter(retriedDesc, s.Retried)
		counter(repliedDesc, s.Replied)
		counter(deadDesc, s.DeadSink, "sink")
		counter(deadDesc, s.DeadKept, "list")
		counter(droppedDesc, s.Expired, "expired_reply")
		counter(droppedDesc, s.Malformed, "malformed_reply")
		counter(droppedDesc, s.Lost, "lost_event")
		counter(replayedDesc, s.Replayed)
		paused := 0.0
		if s.Paused || s.Nowhere {
			paused = 1
		}
		gauge(pausedDesc, paused)
		gauge(inFlightDesc, float64(s.InFlight))
		gauge(openDesc, float64(s.Open))
		gauge(lagDesc, float64(max(s.Head, s.Low)-s.Low))
		age := 0.0
		if !s.Oldest.IsZero() {
			age = max(now.Sub(s.Oldest), 0).Seconds()
		}
		gauge(ageDesc, age)
		attempts, latencies := r.histograms()
		for d, h := range map[*prometheus.Desc]*histogram{attemptDesc: attempts, latencyDesc: latencies} {
			if h != nil {
				ch <- prometheus.MustNewConstHistogram(d, h.count, h.sum, h.cumulative(), values...)
			}
		}
	}
}

// histograms are copies of those of the reader; nil where nothing was observed.
func (r *reader) histograms() (attempts, latencies *histogram) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats.attempts.copy(), r.stats.latency.copy()
}
