package burst

import (
	"testing"
	"time"
)

func TestTheIdealScheduleFillsTheSlotThatIsFreeFirst(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name        string
		listening   []time.Duration
		concurrency int
		want        time.Duration
	}{
		{"one replica, one at a time", []time.Duration{20 * ms}, 1, 20*ms + requests*work},
		{"room for all", []time.Duration{20 * ms}, requests, 20*ms + work},
		{"a late replica takes what is left", []time.Duration{0, 150 * ms}, 25, 200 * ms},
	} {
		if got := Ideal(c.listening, c.concurrency); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestErrorsAreShown(t *testing.T) {
	s := Section("burst-light", "the light node", []Burst{{Concurrency: 1, Took: 900, Ideal: 300, Errors: 2, Replicas: 72}}, true)
	met := map[string]bool{}
	for _, target := range s.Targets {
		met[target.What] = target.Met
	}
	if len(met) != 3 || met["errors at containerConcurrency 1"] || met["last answer at containerConcurrency 1, p50"] || !met["replicas at containerConcurrency 1"] {
		t.Errorf("%v", met)
	}
}
