package bootstrap

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// With Envoy's own watchdogs an Envoy that is asked for nothing wakes 36 times a second instead of 7.
func TestEveryEnvoyLooksAfterItsThreadsSeldom(t *testing.T) {
	for _, kind := range []Kind{Gateway, Replica} {
		made, err := Make(Settings{Kind: kind, ControlPlane: "127.0.0.1:1", TrustDomain: "cluster.local", AgentSocket: "/run/agent", AdminSocket: "/run/admin"})
		if err != nil {
			t.Fatal(err)
		}
		both := made.GetWatchdogs()
		for of, silence := range map[string]*durationpb.Duration{
			"main thread":            both.GetMainThreadWatchdog().GetMissTimeout(),
			"main thread, long past": both.GetMainThreadWatchdog().GetMegamissTimeout(),
			"workers":                both.GetWorkerWatchdog().GetMissTimeout(),
			"workers, long past":     both.GetWorkerWatchdog().GetMegamissTimeout(),
		} {
			if d := silence.AsDuration(); d < 5*time.Second {
				t.Errorf("%s, %s: a thread is missed after %v, want five seconds or more", cluster(kind), of, d)
			}
		}
	}
}

func TestAControlPlaneThatCannotBeReachedIsNamed(t *testing.T) {
	for _, address := range []string{"", "control-plane", "control-plane:port", "control-plane:70000"} {
		if _, err := Make(Settings{ControlPlane: address}); err == nil || !strings.Contains(err.Error(), `control plane "`+address+`"`) {
			t.Errorf("%q: %v", address, err)
		}
	}
}
