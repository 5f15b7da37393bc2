package scale

import (
	"slices"
	"strings"
	"time"

	"ebb.dev/ebb/autoscale/decide"
)

// Snapshot is all that the engine knows of a revision, for people.
type Snapshot struct {
	Revision Revision `json:"revision"`
	// Input repeats the last decision: see decide.Record and decide.Replay.
	Input    decide.Input    `json:"input"`
	Decision decide.Decision `json:"decision"`
	State    decide.State    `json:"state"`
	// Why says in one line how the decision came about.
	Why string `json:"why"`

	Counts    Counts    `json:"counts"`
	Decisions uint64    `json:"decisions"`
	DecidedAt time.Time `json:"decidedAt,omitzero"`
	// Due is when it is looked at next; zero if it sleeps.
	Due time.Time `json:"due,omitzero"`

	// Effect is what is under way: up, down, sleep or nothing; To is the replicas that it leads to.
	Effect      string    `json:"effect,omitempty"`
	To          int32     `json:"to,omitempty"`
	EffectSince time.Time `json:"effectSince,omitzero"`
	// Failures counts tries that failed in a row; the next is at RetryAt.
	Failures int       `json:"failures,omitempty"`
	RetryAt  time.Time `json:"retryAt,omitzero"`
}

// Snapshot returns what is known of a revision, and whether it is scaled here.
func (e *Engine) Snapshot(revision Revision) (Snapshot, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	en := e.entries[revision]
	if en == nil {
		return Snapshot{}, false
	}
	s := Snapshot{
		Revision: revision, Input: en.input, Decision: en.decision, State: en.state, Why: decide.Explain(en.input, en.decision),
		Counts: en.counts, Decisions: en.decisions, DecidedAt: en.decidedAt, Due: en.due, Failures: en.failures, RetryAt: en.retryAt,
	}
	if f := en.effect; f != nil {
		s.Effect, s.To, s.EffectSince = string(f.kind), f.to, f.begun
	}
	return s, true
}

// Revisions returns what is scaled here, in order of namespace and name.
func (e *Engine) Revisions() []Revision {
	e.mu.Lock()
	all := make([]Revision, 0, len(e.entries))
	for revision := range e.entries {
		all = append(all, revision)
	}
	e.mu.Unlock()
	slices.SortFunc(all, func(a, b Revision) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}
