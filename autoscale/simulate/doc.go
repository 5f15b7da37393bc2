// Package simulate shows how a revision would scale: it replays a trace of demand through the same measurement and the same
// decisions as the autoscaler's, against a model of replicas that start, take requests and queue.
//
// In: a trace (levels of concurrency or rate over time, or single arrivals), annotations, config-autoscaler, and how long a
// replica takes to start.
// Out: what happened in each step of time, a summary, and a chart.
//
// Hard rule: the same trace, settings and seed give the same result, on any machine and at any speed: time is an argument.
//
// The model is simple on purpose. Requests that find no free slot wait in one queue, oldest first; a request takes its time
// and no more, however many run beside it; proxies report every 200 ms; the scale patch and the gateways take a constant time.
package simulate
