package scale

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/autoscale/decide"
)

// metrics counts what the engine does. What is known of each revision is read when it is asked for, so that a decision costs
// no more for being observed.
type metrics struct {
	decisions *prometheus.CounterVec
	wakes     prometheus.Counter
	lag       *prometheus.HistogramVec
	wait      *prometheus.HistogramVec
	took      *prometheus.HistogramVec
}

// microseconds to seconds: a decision takes microseconds, a patch milliseconds.
var lagBuckets = []float64{.00001, .00003, .0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3}

func newMetrics() *metrics {
	return &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ebb_autoscale_decisions_total", Help: "Decisions, by why they were made."}, []string{"cause"}),
		wakes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ebb_autoscale_wakes_total", Help: "Decisions that wake a revision from zero."}),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ebb_autoscale_queue_lag_seconds", Help: "Time from the cause of a decision to the decision.", Buckets: lagBuckets}, []string{"cause"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ebb_autoscale_effect_wait_seconds", Help: "Time from a decision to the beginning of its effect.", Buckets: lagBuckets}, []string{"effect"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ebb_autoscale_effect_duration_seconds", Help: "Time that effects take, by how they end.", Buckets: append(lagBuckets, 10, 30, 100, 300)}, []string{"effect", "result"}),
	}
}

func (m *metrics) decided(cause Cause, lag time.Duration, woke bool) {
	m.decisions.WithLabelValues(string(cause)).Inc()
	m.lag.WithLabelValues(string(cause)).Observe(lag.Seconds())
	if woke {
		m.wakes.Inc()
	}
}

func (m *metrics) effect(k kind, wait, took time.Duration, err error, cancelled bool) {
	result := "ok"
	switch {
	case cancelled:
		result = "cancelled"
	case err != nil:
		result = "error"
	}
	m.wait.WithLabelValues(string(k)).Observe(wait.Seconds())
	m.took.WithLabelValues(string(k), result).Observe(took.Seconds())
}

var (
	revisionLabels = []string{"namespace", "revision"}

	desiredDesc = prometheus.NewDesc("ebb_autoscale_desired_replicas", "Replicas that the last decision asks for.", revisionLabels, nil)
	actualDesc  = prometheus.NewDesc("ebb_autoscale_actual_replicas", "Replicas that are ready.", revisionLabels, nil)
	stableDesc  = prometheus.NewDesc("ebb_autoscale_stable_demand", "Demand over the stable window, in units of the revision's metric.", revisionLabels, nil)
	panicDesc   = prometheus.NewDesc("ebb_autoscale_panic_demand", "Demand over the panic window, in units of the revision's metric.", revisionLabels, nil)
	targetDesc  = prometheus.NewDesc("ebb_autoscale_target_demand", "Demand to aim for in each replica, in units of the revision's metric.", revisionLabels, nil)
	heldDesc    = prometheus.NewDesc("ebb_autoscale_held_requests", "Requests that wait for a replica.", revisionLabels, nil)
	backlogDesc = prometheus.NewDesc("ebb_autoscale_backlog_events", "Events that wait to be delivered.", revisionLabels, nil)
	panicking   = prometheus.NewDesc("ebb_autoscale_panic_mode", "1 while in panic mode.", revisionLabels, nil)
	burstDesc   = prometheus.NewDesc("ebb_autoscale_excess_burst_capacity", "Requests that could come beyond the target burst capacity.", revisionLabels, nil)

	awakeDesc   = prometheus.NewDesc("ebb_autoscale_revisions_awake", "Revisions that are looked at.", nil, nil)
	asleepDesc  = prometheus.NewDesc("ebb_autoscale_revisions_asleep", "Revisions that are not looked at until something happens.", nil, nil)
	waitingDesc = prometheus.NewDesc("ebb_autoscale_effects_waiting", "Effects that wait for a worker.", []string{"pool"}, nil)
)

// Describe implements prometheus.Collector.
func (e *Engine) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{desiredDesc, actualDesc, stableDesc, panicDesc, targetDesc, heldDesc, backlogDesc, panicking, burstDesc, awakeDesc, asleepDesc, waitingDesc} {
		to <- d
	}
	for _, c := range e.metrics.collectors() {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector. Revisions that sleep have no series of their own.
func (e *Engine) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	awake, asleep := e.observed()
	for _, o := range awake {
		labels := []string{o.revision.Namespace, o.revision.Name}
		gauge(desiredDesc, float64(o.desired), labels...)
		gauge(actualDesc, float64(o.actual), labels...)
		gauge(stableDesc, o.window.Stable.Mean, labels...)
		gauge(panicDesc, o.window.Panic.Mean, labels...)
		gauge(targetDesc, o.target, labels...)
		gauge(heldDesc, o.window.Held, labels...)
		gauge(backlogDesc, o.window.Backlog.Waiting, labels...)
		gauge(panicking, truth(o.panicking), labels...)
		gauge(burstDesc, float64(o.burst), labels...)
	}
	gauge(awakeDesc, float64(len(awake)))
	gauge(asleepDesc, float64(asleep))
	gauge(waitingDesc, float64(e.ups.waiting()), "up")
	gauge(waitingDesc, float64(e.downs.waiting()), "down")
	for _, c := range e.metrics.collectors() {
		c.Collect(to)
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.decisions, m.wakes, m.lag, m.wait, m.took}
}

// observation is what the metrics show of one revision.
type observation struct {
	revision        Revision
	desired, actual int32
	window          decide.Window
	target          float64
	panicking       bool
	burst           int32
}

func (e *Engine) observed() (awake []observation, asleep int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, en := range e.entries {
		if en.asleep() {
			asleep++
			continue
		}
		awake = append(awake, observation{
			revision: en.revision, desired: en.status.Desired, actual: en.counts.Ready, window: en.input.Window,
			target: en.policy.Target, panicking: en.decision.Panicking, burst: en.decision.ExcessBurstCapacity,
		})
	}
	return awake, asleep
}

// asleep reports whether nothing will look at the entry until something happens.
func (en *entry) asleep() bool { return en.index < 0 && !en.queued && en.effect == nil }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
