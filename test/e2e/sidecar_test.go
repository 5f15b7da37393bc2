package e2e

import (
	"testing"
	"time"

	"ebb.dev/ebb/crds/serving"
)

// A Service whose replicas have sidecars wakes and sleeps as any other, and the node has their image before its first pod asks for it.
func TestAServiceWithSidecarsWakesAndSleeps(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	annotations := asleepAtFirst()
	annotations[serving.ReplicaProxyAnnotationKey] = serving.ReplicaProxySidecar
	url := s.cold(app{name: "a", annotations: annotations})
	shared.logged(t, time.Minute, "control-plane", "image of sidecars unpacked")
	for range 2 {
		expect(t, url, "Hello World!")
		for _, pod := range s.replicas("a") {
			if got := s.path("pod/"+pod, "{.spec.initContainers[*].name}"); got != serving.SidecarContainerName {
				t.Errorf("pod %s has the sidecars %q", pod, got)
			}
		}
		s.asleep("a")
	}
}
