package main

import (
	"os/exec"
	"strings"
	"testing"
)

// It starts in every cold start of a replica with a sidecar. Types of Kubernetes and of Envoy cost milliseconds before its first line of work.
func TestItHasNothingOfKubernetesOrEnvoyInIt(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		for _, heavy := range []string{"github.com/envoyproxy/", "k8s.io/client-go", "k8s.io/api/", "sigs.k8s.io/", "github.com/nats-io/", "github.com/twmb/", "ebb.dev/ebb/eventing", "ebb.dev/ebb/serving"} {
			if strings.HasPrefix(path, heavy) {
				t.Errorf("it imports %s", path)
			}
		}
	}
}
