package e2e

import (
	"fmt"
	"strings"
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
	eventually(t, time.Minute, "the sidecars' image to be unpacked", func() error {
		out, err := shared.ebb("logs", "control-plane")
		if err != nil || !strings.Contains(out, "image of sidecars unpacked") {
			return fmt.Errorf("%v: the control plane's log says nothing of it", err)
		}
		return nil
	})
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
