package broker

import "testing"

func TestGarbageFollowsTheWork(t *testing.T) {
	const small, large = 16 << 20, 1 << 30
	type look struct {
		used float64
		live uint64
	}
	many := func(l look, n int) (out []look) {
		for range n {
			out = append(out, l)
		}
		return out
	}
	busy, calm := look{used: 0.5, live: small}, look{live: small}
	for name, c := range map[string]struct {
		rest  int
		looks []look
		want  int
	}{
		"at rest":                            {rest: 50, looks: many(calm, 3), want: 50},
		"busy, with a small heap":            {rest: 50, looks: []look{busy}, want: 400},
		"busy, with a large heap":            {rest: 50, looks: []look{{used: 0.5, live: large}}, want: 50},
		"before the first collection":        {rest: 50, looks: []look{{used: 0.5}}, want: 400},
		"not at rest for a moment":           {rest: 50, looks: append([]look{busy}, many(calm, calmAfter-1)...), want: 400},
		"at rest again":                      {rest: 50, looks: append([]look{busy}, many(calm, calmAfter)...), want: 50},
		"the heap has grown":                 {rest: 50, looks: []look{busy, {used: 0.5, live: 2 * small}}, want: 200},
		"the heap has grown a little":        {rest: 50, looks: []look{busy, {used: 0.5, live: small + small/8}}, want: 400},
		"busy again begins the wait":         {rest: 50, looks: append(append([]look{busy}, many(calm, calmAfter-1)...), busy, calm), want: 400},
		"never less than what it began with": {rest: 800, looks: []look{busy}, want: 800},
		"collecting is off, and stays off":   {rest: -1, looks: []look{busy}, want: -1},
	} {
		g := &garbage{rest: c.rest, percent: c.rest}
		got := c.rest
		for _, l := range c.looks {
			got = g.next(l.used, l.live)
		}
		if got != c.want {
			t.Errorf("%s: %d, not %d", name, got, c.want)
		}
	}
}
