// Package scale is the engine: it looks at each revision when it is due, and brings about what is decided.
//
// In: revisions with their annotations and config-autoscaler; pokes (a request is held, a replica became ready); and, through
// interfaces it declares, the measured demand and what runs.
// Out: replicas up, replicas down, preparations for sleep, and a status, each through an interface it declares.
//
// Hard rule: a wake waits for nothing but its own decision. Decisions are pure and take microseconds; effects run beside the
// loop, one at a time for each revision; statuses are written later.
//
//	Poke, tick ─ queue ─ Window ─ decide.Decide ─┬─ up: Scaler            (many at once, short)
//	                                             ├─ down: Downscaler      (many at once, long: victims drain)
//	                                             ├─ sleep: Sleeper        (until the gateways hold)
//	                                             └─ status: StatusSink    (coalesced)
//
// There is one goroutine for the loop and one for statuses, and a timer for whatever is due next. A revision that sleeps is
// not looked at: ten thousand of them cost their memory and nothing else.
package scale
