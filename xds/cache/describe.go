package cache

import "sort"

// State is what one proxy should have, was sent and has accepted of one type, for debug pages.
type State struct {
	Type       Type
	Open       bool
	Unanswered int
	Rows       []RowState
}

// RowState is one row's way. Empty versions mean absent.
type RowState struct {
	Name, Owner           string
	Want, Sent, Acked     string
	Subscribed, Undecided bool
	Refused               string
}

// Describe lists a proxy's state by type.
func (p *Proxy) Describe() []State {
	out := p.copyState()
	for _, state := range out {
		sort.Slice(state.Rows, func(i, j int) bool { return state.Rows[i].Name < state.Rows[j].Name })
	}
	return out
}

func (p *Proxy) copyState() []State {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []State
	for _, typ := range sendOrder {
		t, ok := p.tables[typ]
		if !ok {
			continue
		}
		state := State{Type: typ, Open: t.open, Unanswered: len(t.batches)}
		names := map[string]bool{}
		for _, set := range []map[string]string{t.sent, t.acked} {
			for name := range set {
				names[name] = true
			}
		}
		for name := range t.rows {
			names[name] = true
		}
		for name := range names {
			row := RowState{Name: name, Sent: t.sent[name], Acked: t.acked[name], Undecided: t.pendingRemoval(name),
				Refused: t.refused[name].Message}
			_, row.Subscribed = t.subscribed[name]
			if r := t.rows[name]; r != nil {
				row.Want, row.Owner = r.Version, r.Owner.String()
			}
			state.Rows = append(state.Rows, row)
		}
		out = append(out, state)
	}
	return out
}
