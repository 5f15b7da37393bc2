package main

import (
	"slices"
	"testing"

	"ebb.dev/ebb/deploy/local/platform"
)

func TestOnlyARelaxedPlatformHasARelaxedBroker(t *testing.T) {
	for events, relaxed := range map[string]bool{durableEvents: false, relaxedEvents: true} {
		if err := (upFlags{choices: choices{events: events}}).checkEvents(); err != nil {
			t.Error(err)
		}
		components := ebbComponents(platform.Environment{BridgeAddress: "10.1.0.1"}, choices{events: events})
		i := slices.IndexFunc(components, func(c platform.Component) bool { return c.Name == "broker" })
		if i < 0 {
			t.Fatal("no broker")
		}
		if got := slices.Contains(components[i].Args, "--relaxed"); got != relaxed {
			t.Errorf("events %s: the broker's arguments are %v", events, components[i].Args)
		}
	}
	if err := (upFlags{choices: choices{events: "sometimes"}}).checkEvents(); err == nil {
		t.Error("any word is taken")
	}
}
