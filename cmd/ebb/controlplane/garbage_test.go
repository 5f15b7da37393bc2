package controlplane

import "testing"

func TestItCollectsWhileNothingHappens(t *testing.T) {
	const mb, live = 1 << 20, 20 << 20
	type look struct {
		// more was allocated since the look before, after a collection or not.
		more      uint64
		collected bool
	}
	calm, busy := look{more: 1}, look{more: 8 * mb}
	for name, c := range map[string]struct {
		rest    int
		live    uint64
		looks   []look
		collect bool
		percent int
	}{
		"at rest":                         {50, live, []look{calm, calm, calm, calm}, false, 50},
		"while something happens":         {50, live, []look{calm, calm, calm, busy}, false, 160},
		"a moment after it":               {50, live, []look{busy, calm, calm}, false, 160},
		"in the calm after it":            {50, live, []look{busy, calm, calm, calm}, true, 50},
		"once it has been collected":      {50, live, []look{busy, calm, calm, calm, {more: 1, collected: true}}, false, 50},
		"little has come together":        {50, live, []look{{more: 3 * mb}, calm, calm, calm}, false, 50},
		"a large heap, and not enough":    {50, 400 * mb, []look{busy, calm, calm, calm}, false, 50},
		"a large heap, busy":              {50, 400 * mb, []look{busy}, false, 50},
		"nothing has been collected yet":  {50, 0, []look{busy}, false, 50},
		"collecting is off, and stays so": {-1, live, []look{busy, calm, calm, calm}, false, -1},
	} {
		t.Run(name, func(t *testing.T) {
			g := garbage{rest: c.rest, cycles: 1}
			allocated, cycles := uint64(0), uint64(1)
			var collect bool
			var percent int
			for _, l := range c.looks {
				allocated += l.more
				if l.collected {
					cycles++
				}
				collect, percent = g.look(allocated, cycles, c.live)
			}
			if collect != c.collect || percent != c.percent {
				t.Errorf("collect %t, %d %%", collect, percent)
			}
		})
	}
}
