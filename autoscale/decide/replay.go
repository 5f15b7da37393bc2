package decide

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"ebb.dev/ebb/crds/autoscaling"
)

// Record returns the input as one line of JSON, from which Replay repeats the decision.
func Record(in Input) (string, error) {
	line, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("record a decision for %s: %w", in.Revision, err)
	}
	return string(line), nil
}

// Replay repeats the decision of a line that Record made.
func Replay(line []byte) (Decision, State, error) {
	var in Input
	if err := json.Unmarshal(line, &in); err != nil {
		return Decision{}, State{}, fmt.Errorf("replay a decision: the line is not what a decision logs as its input: %w", err)
	}
	if err := in.Check(); err != nil {
		return Decision{}, State{}, fmt.Errorf("replay a decision for %s: %w", in.Revision, err)
	}
	d, s := Decide(in)
	return d, s, nil
}

// Check returns why an input that came from outside is of no use. What ResolvePolicy and the measurement give always is.
func (in Input) Check() error {
	p, w := in.Policy, in.Window
	switch {
	case !(p.Target >= autoscaling.TargetMin):
		return fmt.Errorf("policy.target: %g must be at least %g", p.Target, autoscaling.TargetMin)
	case !(p.MaxScaleUpRate > 1):
		return fmt.Errorf("policy.maxScaleUpRate: %g must be greater than 1", p.MaxScaleUpRate)
	case !(p.MaxScaleDownRate > 1):
		return fmt.Errorf("policy.maxScaleDownRate: %g must be greater than 1", p.MaxScaleDownRate)
	case !(p.PanicThreshold > 0):
		return fmt.Errorf("policy.panicThreshold: %g must be positive", p.PanicThreshold)
	case !(p.BacklogTarget >= 0):
		return fmt.Errorf("policy.backlogTarget: %g must not be negative", p.BacklogTarget)
	case p.StableWindow <= 0:
		return fmt.Errorf("policy.stableWindow: %v must be positive", p.StableWindow)
	case p.MinScale < 0 || p.MaxScale < 0 || p.InitialScale < 0 || in.Replicas.Ready < 0 || in.Replicas.Wanted < 0:
		return fmt.Errorf("policy and replicas: counts must not be negative")
	}
	for name, demand := range map[string]float64{"stable": w.Stable.Mean, "panic": w.Panic.Mean, "inflight": w.Inflight, "held": w.Held,
		"backlog.waiting": w.Backlog.Waiting, "backlog.atOnce": w.Backlog.AtOnce, "backlog.due": w.Backlog.Due, "backlog.perSecond": w.Backlog.PerSecond} {
		if !(demand >= 0) || math.IsInf(demand, 0) {
			return fmt.Errorf("window.%s: %g must be a number from 0", name, demand)
		}
	}
	return nil
}

// Explain says in one line how the decision came about.
func Explain(in Input, d Decision) string {
	var text strings.Builder
	w, p := in.Window, in.Policy
	fmt.Fprintf(&text, "stable %.4g / target %.4g → %.0f", w.Stable.Mean, p.Target, d.Stable)
	fmt.Fprintf(&text, "; panic %.4g → %.0f", w.Panic.Mean, d.Panic)
	if w.Held > 0 {
		fmt.Fprintf(&text, " (with %.4g held beside %.4g in flight)", w.Held, w.Inflight)
	}
	if b := w.Backlog; b.Waiting > 0 {
		fmt.Fprintf(&text, " (with %.4g deliveries due of %.4g events that wait)", b.Due, b.Waiting)
	}
	if d.Panicking {
		fmt.Fprintf(&text, "; panicking")
	}
	fmt.Fprintf(&text, "; ready %d", in.Replicas.Ready)
	if d.Desired == Unknown {
		fmt.Fprintf(&text, " → as it is (%s)", d.Reason)
	} else {
		fmt.Fprintf(&text, " → %d (%s)", d.Desired, d.Reason)
	}
	if !d.Apply {
		text.WriteString(", not applied")
	}
	return text.String()
}
