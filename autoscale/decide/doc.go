// Package decide turns measurements into replica counts.
//
// In: a Window (time-weighted demand of one revision), its Policy (annotations and ConfigMap already resolved), what runs of
// it, the State that the decision before left, and the time now.
// Out: a Decision (how many replicas, why, and when to look again) and the next State.
//
// Hard rule: nothing here reads a clock, a network or a file. A decision can be replayed from a log line: see Replay.
//
// The arithmetic is the Knative pod autoscaler's, step by step: recommend (demand.go), bound (bounds.go), to zero
// (sleep.go), phase (phase.go). Where Ebb differs the difference has a name in Options and is off by default, but for three
// that the design asks for: held requests and due deliveries of events count at once (Window.Held, Window.Backlog), and HoldInPath looks at
// free slots. See docs/decisions/0004 and 0018.
package decide
